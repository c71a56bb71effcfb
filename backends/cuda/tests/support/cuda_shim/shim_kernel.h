/* How kernels are declared on the host: a function that the harness finds by name and calls with the
 * address of the argument struct, whose size stands beside it. */
#ifndef ACCEL_SHIM_KERNEL_H
#define ACCEL_SHIM_KERNEL_H

#define ACCEL_KERNEL(name, Args, args)                                   \
  static void name##_body(const Args& args);                             \
  extern "C" {                                                           \
  extern const unsigned name##_args_bytes;                               \
  const unsigned name##_args_bytes = sizeof(Args);                       \
  void name(const void* args) {                                          \
    name##_body(*static_cast<const Args*>(args));                        \
  }                                                                      \
  }                                                                      \
  static void name##_body([[maybe_unused]] const Args& args)
#define ACCEL_KERNEL_BOUNDS(threads, blocks, name, Args, args)           \
  extern "C" {                                                           \
  extern const unsigned name##_max_threads;                              \
  const unsigned name##_max_threads = threads;                           \
  }                                                                      \
  ACCEL_KERNEL(name, Args, args)

#define ACCEL_DYNAMIC_SHARED(type, name) \
  type* const name = static_cast<type*>(accel_shim::dynamic_shared())

#endif
