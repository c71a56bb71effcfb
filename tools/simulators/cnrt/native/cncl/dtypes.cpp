#include "dtypes.hpp"

#include <cstdio>
#include <string>

#include "accel_sim/ranks/failure.hpp"

namespace accel_cncl {
namespace {

using accel_ranks::DataType;
using accel_ranks::Reduction;

struct TypeRow {
  cnclDataType_t number;
  DataType type;
};

constexpr TypeRow kTypes[] = {
    {cnclFloat16, DataType::float16}, {cnclBfloat16, DataType::bfloat16},
    {cnclFloat32, DataType::float32}, {cnclInt8, DataType::int8},
    {cnclInt16, DataType::int16},     {cnclInt32, DataType::int32},
    {cnclInt64, DataType::int64},     {cnclUint8, DataType::uint8},
    {cnclUint16, DataType::uint16},   {cnclUint32, DataType::uint32},
    {cnclUint64, DataType::uint64},
};

[[noreturn]] void refuse(const char* argument, int number, const std::string& allowed) {
  char text[32];
  std::snprintf(text, sizeof text, "%#x", static_cast<unsigned>(number));
  throw accel_ranks::RankFailure(accel_ranks::Problem::not_supported,
                                 std::string(argument) + " " + text + " is none of CNCL's: " +
                                     allowed);
}

}  // namespace

DataType type_of(cnclDataType_t type) {
  std::uint32_t known = 0;
  for (const TypeRow& row : kTypes) {
    if (row.number == type) return row.type;
    known |= accel_ranks::bit(row.type);
  }
  refuse("data_type", type, accel_ranks::names_of(known) + " (there is no float64)");
}

Reduction reduction_of(cnclReduceOp_t op) {
  switch (op) {
    case cnclSum: return Reduction::sum;
    case cnclProd: return Reduction::prod;
    case cnclMax: return Reduction::max;
    case cnclMin: return Reduction::min;
  }
  refuse("reduce_op", op, "sum, prod, max, min (there is no average)");
}

}  // namespace accel_cncl
