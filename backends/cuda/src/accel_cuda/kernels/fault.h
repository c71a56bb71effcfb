/* Saying that something is wrong from within a kernel: see fault_record.h. */
#ifndef ACCEL_CUDA_FAULT_H
#define ACCEL_CUDA_FAULT_H

#include "device.h"

#include "fault_record.h"

/* The first fault since the record was last read stays; nothing happens without a record. */
ACCEL_DEVICE void accel_report_fault(accel_u64 record, accel_u32 kind, accel_u32 argument,
                                     accel_i64 index, accel_i64 limit, accel_i64 position) {
  AccelFaultRecord* const fault = accel_pointer<AccelFaultRecord>(record);
  if (fault == nullptr || accel_atomic_cas_system(&fault->state, 0u, 1u) != 0u) return;
  fault->kind = kind;
  fault->argument = argument;
  fault->index = index;
  fault->limit = limit;
  fault->position = position;
  accel_fence_system();
  accel_atomic_exchange_system(&fault->state, 2u);
}

#endif
