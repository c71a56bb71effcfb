/* Saying that something is wrong from within a kernel: see fault_record.h. */
#ifndef ACCEL_CUDA_FAULT_H
#define ACCEL_CUDA_FAULT_H

#include "device.h"

#include "fault_record.h"

/* Whether this thread is the first to report since the record was last read. The record is in host
 * memory, where atomics of the system's scope need a bus that has them; those of the device do, as
 * the host only reads what was published. */
ACCEL_DEVICE bool accel_claim_fault(AccelFaultRecord* fault) {
  return fault != nullptr && accel_atomic_cas(&fault->state, 0u, 1u) == 0u;
}

ACCEL_DEVICE void accel_publish_fault(AccelFaultRecord* fault) {
  accel_fence_system();
  accel_store_release_system(&fault->state, 2u);
}

/* The first fault since the record was last read stays; nothing happens without a record. */
ACCEL_DEVICE void accel_report_fault(accel_u64 record, accel_u32 kind, accel_u32 argument,
                                     accel_i64 index, accel_i64 limit, accel_i64 position) {
  AccelFaultRecord* const fault = accel_pointer<AccelFaultRecord>(record);
  if (!accel_claim_fault(fault)) return;
  fault->kind = kind;
  fault->argument = argument;
  fault->index = index;
  fault->limit = limit;
  fault->position = position;
  accel_publish_fault(fault);
}

#endif
