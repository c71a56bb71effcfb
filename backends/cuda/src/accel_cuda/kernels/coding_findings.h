/* What the entropy coder's kernels may find wrong: plain C, shared with the host.
 *
 * A finding is a key: its kind in the high 8 bits, where it is in the low 56. The smallest key of a
 * call is the one that is told: so what the CPU's coder finds first, this one does too.
 */
#ifndef ACCEL_CUDA_CODING_FINDINGS_H
#define ACCEL_CUDA_CODING_FINDINGS_H

enum {
  CODING_FOUND_SIZE = 1,       /* data is shorter than a header */
  CODING_FOUND_MAGIC,          /* foreign data */
  CODING_FOUND_VERSION,        /* where: the version */
  CODING_FOUND_HEADER,         /* the header's check */
  CODING_FOUND_LIMITS,         /* extents, bins or constants that the format does not have */
  CODING_FOUND_TOTAL,          /* where: how many bytes the header says */
  CODING_FOUND_SPLIT,          /* impossible chunks or groups */
  CODING_FOUND_ROOM,           /* no room for the directory */
  CODING_FOUND_DIRECTORY,      /* the directory's check */
  CODING_FOUND_UNITS,          /* streams that are no units of 4 bytes */
  CODING_FOUND_RANGE,          /* where: a stream that is not within data */
  CODING_FOUND_SHAPE,          /* out has another shape; told with that of data */
  CODING_FOUND_MODEL,          /* where: a row of the model that does not rise from 0 to the scale */
  CODING_FOUND_OTHER_MODEL,    /* not the model that data was encoded with */
  CODING_FOUND_CHECK,          /* where: a stream whose check is wrong */
  CODING_FOUND_OUTSIDE,        /* where: a symbol that is not below bins */
  CODING_FOUND_NO_FREQUENCY,   /* where: a symbol that the model cannot encode */
  CODING_FOUND_LOW_STATE,      /* where: a stream; what only decoding finds, here and below */
  CODING_FOUND_FEW_WORDS,
  CODING_FOUND_END_STATE,
  CODING_FOUND_MANY_WORDS
};

#define CODING_KEY(kind, where) ((unsigned long long)(kind) << 56 | (where))
#define CODING_KEY_KIND(key) ((unsigned)((key) >> 56))
#define CODING_KEY_WHERE(key) ((key) & 0xFFFFFFFFFFFFFFull)
#define CODING_NO_FINDING (~0ull)

#endif
