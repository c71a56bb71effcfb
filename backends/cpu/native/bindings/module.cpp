#include "../numeric/rows.hpp"
#include "../runtime/copy_bytes.hpp"
#include "../runtime/parallel.hpp"
#include "bindings.hpp"

void bind_kv(pybind11::module_& module);

namespace accel_cpu::coding {
void bind_coding(pybind11::module_& module);
}
namespace accel_cpu::rope {
void bind_rope(pybind11::module_& module);
}

PYBIND11_MODULE(_native, module) {
  module.doc() =
      "The native part of accel-cpu: streams, events, pinned memory, copies, KV kernels.";
  accel_cpu::bind_faults(module);
  accel_cpu::bind_events(module);
  accel_cpu::bind_streams(module);
  accel_cpu::bind_pinned(module);
  accel_cpu::bind_memcpy(module);
  module.def("thread_count", &accel_cpu::thread_count,
             "Threads that large copies are split over: ACCEL_CPU_THREADS or the processors.");
  module.def("streaming_threshold", &accel_cpu::streaming_threshold,
             "Bytes from which copies use stores that bypass the caches.");
  module.def("use_row_kernels", &accel_cpu::numeric::use_rows,
             "Choose the arithmetic loops by name: avx512, avx2, portable. For tests; false when this "
             "processor has no such instructions.");
  bind_kv(module);
  accel_cpu::coding::bind_coding(module);
  accel_cpu::bind_quantize(module);
  accel_cpu::rope::bind_rope(module);
}
