// Tensors as the operands of a problem, in some hundred nanoseconds. Needs the GIL.
#pragma once

#include <Python.h>

#include <accel/tensor_view.hpp>
#include "problem.hpp"

namespace accel_cpu::quantize {

// The arguments of a call; `values` is x or out, `offsets` None when symmetric.
struct Arguments {
  PyObject* object[kOperands];
};

// Fills in `problem`. False when anything about the tensors may be wrong, or takes a closer look
// (memory that might be shared): accel.kv.quantize_arguments then finds the words, or finds nothing,
// and the call is made again with `checked`. Raises DTypeError and FreedError for what is no tensor
// with memory; `back`: for dequantize, which writes the values and nothing else.
bool read_operands(const Spec& spec, const Arguments& arguments, bool back, bool checked,
                   Problem* problem);

}  // namespace accel_cpu::quantize
