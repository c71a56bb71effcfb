/* What the kernels of kv_gather.cu take: one struct by value, filled by native/kv/move. Plain C. */
#ifndef ACCEL_KV_GATHER_ARGS_H
#define ACCEL_KV_GATHER_ARGS_H

enum {
  ACCEL_GATHER_THREADS = 256,
  ACCEL_UPLOAD_THREADS = 256,
  ACCEL_UPLOAD_BYTES = 4064 /* with the rest of its struct, what every device takes */
};

/* An int32 or int64 array on the device. */
typedef struct accel_index_array {
  unsigned long long data; /* device address; 0: zeros */
  long long stride;        /* elements */
  unsigned wide, unused;   /* int64, else int32 */
} accel_index_array;

/* The slots that sequences read: token starts[i] + j of sequence i, one sequence after another. */
typedef struct accel_gather_args {
  accel_index_array table, lens, starts;
  long long table_column;    /* elements from one entry of a row to the next */
  long long batch, columns;  /* of the table */
  long long block_size, blocks;
  long long capacity;        /* slots that the result may fill */
  unsigned long long slots;  /* device address of long long[capacity]; -1 for what is skipped */
  unsigned long long count;  /* device address of a long long: how many slots there are */
  unsigned long long fault;
} accel_gather_args;

typedef struct accel_upload_args {
  unsigned long long to;
  unsigned bytes, unused;
  unsigned long long reserved[2];
  unsigned words[ACCEL_UPLOAD_BYTES / 4];
} accel_upload_args;

#endif /* ACCEL_KV_GATHER_ARGS_H */
