#include "accel_sim/ranks/dtypes.hpp"

#include "accel_sim/ranks/failure.hpp"
#include "accel_sim/ranks/vendor.hpp"

namespace accel_ranks {
namespace {

struct TypeRow {
  std::size_t bytes;
  const char* name;
};

constexpr TypeRow kTypes[] = {
    // in the order of DataType
    {1, "int8"},     {2, "int16"},       {4, "int32"},       {8, "int64"},      {1, "uint8"},
    {2, "uint16"},   {4, "uint32"},      {8, "uint64"},      {2, "float16"},    {2, "bfloat16"},
    {4, "float32"},  {8, "float64"},     {16, "int128"},     {1, "hifloat8"},
    {1, "float8_e4m3"}, {1, "float8_e5m2"}, {1, "float8_e8m0"},
};
constexpr std::size_t kTypeCount = sizeof kTypes / sizeof kTypes[0];
static_assert(kTypeCount == static_cast<std::size_t>(DataType::float8_e8m0) + 1);

// A number that came over the wire may be none of ours.
const TypeRow& row_of(DataType type) {
  const auto index = static_cast<std::size_t>(type);
  if (index >= kTypeCount) {
    throw RankFailure(Problem::internal, "data type " + std::to_string(index) + " is unknown");
  }
  return kTypes[index];
}

}  // namespace

const char* operation_name(Operation operation) { return vendor().operation(operation); }

std::size_t element_size(DataType type) { return row_of(type).bytes; }

const char* type_name(DataType type) { return row_of(type).name; }

const char* reduction_name(Reduction reduction) {
  switch (reduction) {
    case Reduction::sum: return "sum";
    case Reduction::prod: return "prod";
    case Reduction::max: return "max";
    case Reduction::min: return "min";
  }
  return "an unknown reduction";
}

std::string names_of(std::uint32_t types) {
  std::string text;
  for (std::size_t i = 0; i < kTypeCount; ++i) {
    if ((types & (1u << i)) == 0) continue;
    text += text.empty() ? "" : ", ";
    text += kTypes[i].name;
  }
  return text.empty() ? "nothing" : text;
}

}  // namespace accel_ranks
