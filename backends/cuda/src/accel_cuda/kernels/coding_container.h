/* The container's header and directory, read by a kernel. docs/kv-codec.md. */
#ifndef ACCEL_CUDA_CODING_CONTAINER_H
#define ACCEL_CUDA_CODING_CONTAINER_H

#include "coding_common.h"

enum : accel_u64 { CODING_MOST_EXTENT = 1ull << 31 };

struct coding_container {
  accel_codec_split split;
  accel_u32 bins, model_check, directory_check;
  accel_u64 directory, payload; /* addresses */
  accel_u64 units;              /* of 4 bytes, in the payload */
};

/* Reads the header of args.data; the key of what is wrong with it, or CODING_NO_FINDING. After that
 * the directory lies within the data, and every stream of the split within args.out. */
ACCEL_DEVICE accel_u64 coding_read_header(const coding_decode_args& args, coding_container& c) {
  if (args.bytes < ACCEL_CODEC_HEADER_BYTES) return CODING_KEY(CODING_FOUND_SIZE, args.bytes);
  accel_u32 words[16];
  accel_u32 check = 0;
  ACCEL_UNROLL
  for (accel_u32 i = 0; i < 16; ++i) {
    words[i] = coding_load_unit(args.data + i * 4);
    if (i < 15) check += accel_codec_mix(words[i], i, ACCEL_CODEC_SEED_HEADER);
  }
  const auto wide = [&](accel_u32 i) { return words[i] | (accel_u64)words[i + 1] << 32; };
  if (words[0] != 0x43564B41u) return CODING_KEY(CODING_FOUND_MAGIC, 0);
  if ((words[1] & 0xFFFF) != ACCEL_CODEC_VERSION) {
    return CODING_KEY(CODING_FOUND_VERSION, words[1] & 0xFFFF);
  }
  if (words[15] != check) return CODING_KEY(CODING_FOUND_HEADER, 0);
  c.bins = words[2];
  c.model_check = words[3];
  c.split.layers = wide(4);
  c.split.tokens = wide(6);
  c.split.channels = wide(8);
  c.split.chunks = words[10];
  c.split.groups = words[11];
  c.directory_check = words[14];
  if (words[1] >> 16 != (ACCEL_CODEC_SCALE_BITS | ACCEL_CODEC_LANES << 8) || c.bins < 1 ||
      c.bins > 256 || c.split.layers >= CODING_MOST_EXTENT ||
      c.split.tokens >= CODING_MOST_EXTENT || c.split.channels >= CODING_MOST_EXTENT) {
    return CODING_KEY(CODING_FOUND_LIMITS, 0);
  }
  if (wide(12) != args.bytes) {
    return CODING_KEY(CODING_FOUND_TOTAL, wide(12) & 0xFFFFFFFFFFFFFFull);
  }
  c.split.rows = (c.split.channels + ACCEL_CODEC_LANES - 1) / ACCEL_CODEC_LANES;
  const bool empty = c.split.layers == 0 || c.split.tokens == 0 || c.split.channels == 0;
  const bool sound = empty ? c.split.chunks == 0 && c.split.groups == 0
                           : c.split.chunks >= 1 && c.split.chunks <= c.split.tokens &&
                                 c.split.groups >= 1 && c.split.groups <= c.split.rows;
  if (!sound) return CODING_KEY(CODING_FOUND_SPLIT, 0);
  const accel_u64 most = (args.bytes - ACCEL_CODEC_HEADER_BYTES) / ACCEL_CODEC_ENTRY_BYTES;
  const accel_u64 of_layer = c.split.chunks * c.split.groups;
  if (!empty && (of_layer > most || c.split.layers > most / of_layer)) {
    return CODING_KEY(CODING_FOUND_ROOM, 0);
  }
  c.split.streams = empty ? 0 : c.split.layers * of_layer;
  c.directory = args.data + ACCEL_CODEC_HEADER_BYTES;
  c.payload = c.directory + c.split.streams * ACCEL_CODEC_ENTRY_BYTES;
  c.units = (args.data + args.bytes - c.payload) / 4;
  return CODING_NO_FINDING;
}

/* The header's numbers as the first thread of each group has read them. All threads. */
ACCEL_DEVICE void coding_agree(coding_container& c) {
  accel_codec_split& s = c.split;
  s.layers = coding_uniform(s.layers);
  s.tokens = coding_uniform(s.tokens);
  s.channels = coding_uniform(s.channels);
  s.rows = coding_uniform(s.rows);
  s.chunks = coding_uniform(s.chunks);
  s.groups = coding_uniform(s.groups);
  s.streams = coding_uniform(s.streams);
  c.payload = coding_uniform(c.payload);
  c.units = coding_uniform(c.units);
}

/* The shape of out is that of the data. */
ACCEL_DEVICE bool coding_fits(const coding_decode_args& args, const coding_container& c) {
  return c.split.layers == args.layers && c.split.tokens == args.tokens &&
         c.split.channels == args.channels;
}

struct coding_entry {
  accel_u64 begin, end; /* units, from the payload on */
  accel_u32 check;
  bool sound; /* begin and end lie within the payload, with room for the states between */
};

ACCEL_DEVICE coding_entry coding_entry_at(const coding_container& c,
                                          const accel_codec_stream& place, accel_u64 i) {
  coding_entry e;
  e.begin = coding_load_unit(c.directory + i * 8);
  e.check = coding_load_unit(c.directory + i * 8 + 4);
  e.end = i + 1 < c.split.streams ? coding_load_unit(c.directory + i * 8 + 8) : c.units;
  e.sound = e.begin <= e.end && e.end <= c.units && e.end - e.begin >= place.lanes &&
            (i != 0 || e.begin == 0);
  return e;
}

#endif
