#include "rope_arguments.hpp"

#include <accel/kv_slots.hpp>
#include <accel/tensor_bounds.hpp>
#include <accel/tensor_kind.hpp>
#include <algorithm>
#include <stdexcept>

namespace accel_cuda::arith {
namespace {

using accel::Bounds;
using accel::bounds_of;
using accel::NumberKind;
using accel::read_tensor;
using accel::TensorView;

constexpr std::int64_t kMaxPosition = 2147483647;  // accel.kv.rope.MAX_POSITION
constexpr std::int64_t kMostTokens = std::int64_t{1} << 30;

// An index tensor: on the host, or on one device.
struct Indices {
  TensorView view;

  bool read(PyObject* object, const char* argument, int device_index) {
    read_tensor(object, argument, &view);
    if (!view.is_int32 && !view.is_int64) return false;
    return view.is_cpu || (view.is_gpu && view.device_index == device_index);
  }
  bool has_shape(const std::int64_t* shape, int ndim) const {
    return view.ndim == ndim && std::equal(shape, shape + ndim, view.shape);
  }
  std::int64_t operator[](std::int64_t offset) const {
    return view.is_int64 ? reinterpret_cast<const std::int64_t*>(view.data)[offset]
                         : reinterpret_cast<const std::int32_t*>(view.data)[offset];
  }
  Bounds bounds() const { return bounds_of(view, view.is_int64 ? 8 : 4); }
  accel_rope_list list() const {
    return {view.data, view.ndim == 1 ? view.strides[0] : 0, view.is_int64 ? 1 : 0, 0};
  }
};

struct Table {
  TensorView view;
  NumberKind kind = NumberKind::F32;
  bool given = false;

  bool read(PyObject* object, std::int64_t pairs, int device_index) {
    if (object == Py_None) return true;
    given = true;
    read_tensor(object, "cos_sin_cache", &view);
    kind = accel::kind_of(view, object);
    return accel::is_value(kind) && view.is_gpu && view.device_index == device_index &&
           view.ndim == 2 && view.shape[1] == 2 * pairs;
  }
  Bounds bounds() const {
    return given ? bounds_of(view, static_cast<std::int64_t>(accel::size_of(kind))) : Bounds{};
  }
  std::int64_t positions() const { return given ? view.shape[0] : kMaxPosition + 1; }
  void fill(accel_rope_args* args) const {
    args->positions = positions();
    if (!given) return;
    const auto size = static_cast<std::int64_t>(accel::size_of(kind));
    args->table = view.data;
    args->table_kind = static_cast<int>(kind);
    args->table_row = view.strides[0] * size;
    args->table_step = view.strides[1] * size;
  }
};

// Adds a token that moves. False for a position out of range.
bool add_token(std::int64_t positions, std::int64_t offset, std::int64_t from, std::int64_t to,
               std::vector<accel_rope_token>* tokens) {
  if (from < 0 || to < 0 || from >= positions || to >= positions) return false;
  if (from != to) tokens->push_back({offset, static_cast<int>(from), static_cast<int>(to)});
  return true;
}

// Every token of keys whose positions are on the host.
bool list_tokens(const std::vector<RopeAxis>& axes, const Indices& from, const Indices& to,
                 std::int64_t positions, std::vector<accel_rope_token>* tokens) {
  std::int64_t count = 1;
  for (const RopeAxis& axis : axes) count *= axis.extent;
  tokens->reserve(static_cast<std::size_t>(count));
  std::vector<std::int64_t> index(axes.size(), 0);
  std::int64_t key = 0, a = 0, b = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (!add_token(positions, key, from[a], to[b], tokens)) return false;
    for (std::size_t d = axes.size(); d-- > 0;) {
      const RopeAxis& axis = axes[d];
      const bool wraps = ++index[d] == axis.extent;
      const std::int64_t moves = wraps ? 1 - axis.extent : 1;
      key += moves * axis.step;
      a += moves * axis.old_step;
      b += moves * axis.new_step;
      if (!wraps) break;
      index[d] = 0;
    }
  }
  return true;
}

// Where the device finds the turns.
DevicePointer turns_of(Rotation::Known* known, const Device& device) {
  const std::vector<std::uint64_t>& turns = known->turning.turns;
  std::unique_ptr<DeviceTable>& table = known->tables[device.index];
  if (table == nullptr) {
    table = std::make_unique<DeviceTable>(device, turns.data(), turns.size() * sizeof turns[0]);
  }
  return table->address();
}

void make_launch(const KeyHeads& keys, Rotation::Known* known, const Table& table,
                 std::int64_t tokens, RopeCall* call) {
  const Device& device = call->tools->device;
  call->launch = plan_rope(keys, known->turning, turns_of(known, device), tokens,
                           device.properties().multiprocessors);
  table.fill(&call->launch->args);
}

}  // namespace

void Rotation::add(std::int64_t head_dim, const std::vector<double>& inv_freq) {
  const auto dim = static_cast<std::int64_t>(2 * inv_freq.size());
  if (dim == 0 || offset_ < 0 || offset_ + dim > head_dim) {
    throw std::invalid_argument("rotated channels lie within the head");
  }
  if (of_head_dim_.count(head_dim) != 0) return;
  Turning& turning = of_head_dim_[head_dim].turning;
  turning.interleaved = interleaved_;
  turning.first = offset_;
  for (const double radians : inv_freq) turning.turns.push_back(turn_fraction(radians));
}

Rotation::Known* Rotation::find(std::int64_t head_dim) {
  const auto found = of_head_dim_.find(head_dim);
  return found == of_head_dim_.end() ? nullptr : &found->second;
}

std::unique_ptr<KeyCache> make_key_cache(Tools& tools, int device_index,
                                         const std::vector<std::uintptr_t>& bases,
                                         const std::vector<std::uintptr_t>& tensors,
                                         const std::string& dtype,
                                         const std::vector<std::int64_t>& shape,
                                         const std::vector<std::int64_t>& strides,
                                         std::int64_t span) {
  if (shape.size() != 5 || strides.size() != 5 || bases.empty()) {
    throw std::invalid_argument("[blocks, block_size, heads, D1, D0], and a base for every layer");
  }
  auto cache = std::make_unique<KeyCache>();
  KeyHeads& keys = cache->keys;
  if (!accel::kind_from_name(dtype.c_str(), &keys.kind)) {
    throw std::invalid_argument("no such dtype: " + dtype);
  }
  cache->device_index = device_index;
  cache->bases = bases;
  cache->memory.tensors = tensors;
  cache->slots = shape[0] * shape[1];
  cache->head_dim = shape[3] * shape[4];
  cache->block_size = shape[1];
  cache->block_stride = shape[0] > 1 ? strides[0] : 0;
  cache->slot_stride = shape[1] > 1 ? strides[1] : 0;
  cache->span = span;
  keys.heads = shape[2];
  keys.head_stride = shape[2] > 1 ? strides[2] : 0;
  // The stride of an axis of one means nothing.
  const bool split = shape[3] > 1 && shape[4] > 1;
  keys.inner = split ? shape[4] : cache->head_dim;
  keys.stride = shape[4] > 1 ? strides[4] : strides[3];
  keys.outer_stride = split ? strides[3] : 0;
  keys.token_step = shape[1] > 1 ? strides[1] : strides[0];
  keys.layers = static_cast<std::int64_t>(bases.size());
  keys.alignment = static_cast<std::uint64_t>(cache->block_stride | cache->slot_stride);
  for (const std::uintptr_t base : bases) keys.alignment |= base;
  if (bases.size() > 1) {
    const std::vector<std::uint64_t> words(bases.begin(), bases.end());
    cache->table = std::make_unique<DeviceTable>(tools.on(device_index).device, words.data(),
                                                 words.size() * sizeof words[0]);
    keys.bases = cache->table->address();
  } else {
    keys.base = bases[0];
  }
  return cache;
}

bool read_tensor_call(Rotation& rotation, PyObject* keys, PyObject* old_positions,
                      PyObject* new_positions, PyObject* table, bool apart, RopeCall* call) {
  TensorView view;
  read_tensor(keys, "keys", &view);
  KeyHeads heads;
  heads.kind = accel::kind_of(view, keys);
  if (view.ndim < 2 || !view.is_gpu || !accel::is_value(heads.kind)) return false;
  if (heads.kind != NumberKind::BF16 && accel::is_negated(keys)) return false;
  const int leading = view.ndim - 2;
  const std::int64_t head_dim = view.shape[leading + 1];
  Rotation::Known* const known = rotation.find(head_dim);
  if (known == nullptr) return false;
  Indices from, to;
  if (!from.read(old_positions, "old_positions", view.device_index) ||
      !to.read(new_positions, "new_positions", view.device_index) ||
      from.view.is_cpu != to.view.is_cpu || !from.has_shape(view.shape, leading) ||
      !to.has_shape(view.shape, leading)) {
    return false;
  }
  Table of_table;
  if (!of_table.read(table, known->turning.pairs(), view.device_index)) return false;
  const auto size = static_cast<std::int64_t>(accel::size_of(heads.kind));
  if (!apart) {
    const Bounds own = bounds_of(view, size);
    if (!accel::is_nested(view)) return false;
    for (const Bounds& other : {from.bounds(), to.bounds(), of_table.bounds()}) {
      if (own.meet(other)) return false;
    }
  }
  call->tools = &rotation.tools->on(view.device_index);

  std::vector<RopeAxis> axes;
  for (int d = 0; d < leading; ++d) {
    axes.push_back({view.shape[d], view.strides[d] * size, from.view.strides[d],
                    to.view.strides[d]});
  }
  axes = merged(axes);
  std::int64_t tokens = 1;
  for (const RopeAxis& axis : axes) tokens *= axis.extent;
  heads.heads = view.shape[leading];
  heads.head_stride = heads.heads > 1 ? view.strides[leading] * size : 0;
  heads.inner = head_dim;
  heads.stride = view.strides[leading + 1] * size;
  heads.base = view.data;
  heads.alignment = view.data;
  heads.token_step = axes.empty() ? 0 : axes.back().step;
  for (const RopeAxis& axis : axes) heads.alignment |= static_cast<std::uint64_t>(axis.step);

  // Positions on the host are listed; so are those on the device if they lie too wildly for one
  // launch, but they cannot be read here.
  if (from.view.is_cpu) {
    if (!list_tokens(axes, from, to, of_table.positions(), &call->tokens)) return false;
    if (view.numel() == 0 || call->tokens.empty()) return true;
    make_launch(heads, known, of_table, static_cast<std::int64_t>(call->tokens.size()), call);
    call->launch->args.listed = 1;
    return true;
  }
  if (view.numel() == 0) return true;
  if (axes.size() > ACCEL_ROPE_DIMS || tokens > kMostTokens) {
    accel::fail("ShapeError", "keys",
                "at most " + std::to_string(ACCEL_ROPE_DIMS) +
                    " leading axes that cannot be joined, and 2^30 tokens, with positions on the "
                    "device",
                std::to_string(axes.size()) + " axes, " + std::to_string(tokens) + " tokens",
                "call once for each index of the first axis");
  }
  make_launch(heads, known, of_table, tokens, call);
  accel_rope_args& args = call->launch->args;
  args.old_positions = from.list();
  args.new_positions = to.list();
  args.dims = static_cast<int>(axes.size());
  for (std::size_t d = 0; d < axes.size(); ++d) {
    const RopeAxis& axis = axes[d];
    args.dim[d] = {accel_quotient_by(static_cast<unsigned>(axis.extent)), axis.step, axis.old_step,
                   axis.new_step};
  }
  return true;
}

bool read_cache_call(Rotation& rotation, const KeyCache& cache, PyObject* old_positions,
                     PyObject* new_positions, PyObject* table, PyObject* slots, PyObject* layer,
                     bool apart, RopeCall* call) {
  KeyHeads keys = cache.keys;
  std::size_t first = 0, count = cache.bases.size();
  if (layer != Py_None) {
    if (!PyLong_Check(layer)) return false;
    int overflow = 0;
    const long long wanted = PyLong_AsLongLongAndOverflow(layer, &overflow);
    if (overflow != 0 || wanted < 0 || wanted >= static_cast<long long>(count)) return false;
    first = static_cast<std::size_t>(wanted);
    count = 1;
    keys.base = cache.bases[first];
    keys.bases = 0;
    keys.layers = 1;
  }
  Rotation::Known* const known = rotation.find(cache.head_dim);
  if (known == nullptr) return false;
  Indices from, to, where;
  if (!where.read(slots, "slots", cache.device_index) || where.view.ndim != 1 ||
      !from.read(old_positions, "old_positions", cache.device_index) ||
      !to.read(new_positions, "new_positions", cache.device_index) ||
      from.view.is_cpu != where.view.is_cpu || to.view.is_cpu != where.view.is_cpu ||
      !from.has_shape(where.view.shape, 1) || !to.has_shape(where.view.shape, 1)) {
    return false;
  }
  Table of_table;
  if (!of_table.read(table, known->turning.pairs(), cache.device_index)) return false;
  if (!apart) {
    for (std::size_t i = first; i < first + count; ++i) {
      const Bounds own{cache.bases[i],
                       cache.bases[i] + static_cast<std::uintptr_t>(cache.span)};
      for (const Bounds& other :
           {from.bounds(), to.bounds(), where.bounds(), of_table.bounds()}) {
        if (own.meet(other)) return false;
      }
    }
  }
  call->tools = &rotation.tools->on(cache.device_index);
  const std::int64_t given = where.view.shape[0];
  if (given == 0) return true;

  if (where.view.is_cpu) {
    accel::SlotList rows, wanted;
    rows.size = wanted.size = given;
    wanted.stride = where.view.strides[0];
    wanted.wide = where.view.is_int64;
    wanted.data = reinterpret_cast<const void*>(where.view.data);
    accel::SlotPairs pairs;
    if (accel::check_slots(rows, wanted, given, cache.slots, false, &pairs)) return false;
    call->tokens.reserve(pairs.src.size());
    for (std::size_t i = 0; i < pairs.src.size(); ++i) {
      const std::int64_t slot = pairs.dst[i], block = slot / cache.block_size;
      const std::int64_t offset =
          block * cache.block_stride + (slot - block * cache.block_size) * cache.slot_stride;
      if (!add_token(of_table.positions(), offset, from[pairs.src[i] * from.view.strides[0]],
                     to[pairs.src[i] * to.view.strides[0]], &call->tokens)) {
        return false;
      }
    }
    if (call->tokens.empty() || keys.heads == 0) return true;
    make_launch(keys, known, of_table, static_cast<std::int64_t>(call->tokens.size()), call);
    call->launch->args.listed = 1;
    return true;
  }
  if (keys.heads == 0) return true;
  make_launch(keys, known, of_table, given, call);
  accel_rope_args& args = call->launch->args;
  args.slots = where.list();
  args.old_positions = from.list();
  args.new_positions = to.list();
  args.units = cache.slots;
  args.block = accel_quotient_by(static_cast<unsigned>(std::max<std::int64_t>(1, cache.block_size)));
  args.block_stride = cache.block_stride;
  args.slot_stride = cache.slot_stride;
  return true;
}

}  // namespace accel_cuda::arith
