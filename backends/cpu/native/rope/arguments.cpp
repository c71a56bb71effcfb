#include "arguments.hpp"

#include <algorithm>
#include <stdexcept>

#include "accel/kv_slots.hpp"

namespace accel_cpu::rope {
namespace {

using accel::read_tensor;
using accel::TensorView;

constexpr std::int64_t kMaxPosition = 2147483647;  // accel.kv.rope.MAX_POSITION

PyObject* torch_dtype(const char* name) {
  accel::Ref torch = accel::checked(PyImport_ImportModule("torch"));
  return accel::checked(PyObject_GetAttrString(torch.get(), name)).release();  // kept for good
}

bool kind_of(PyObject* tensor, numeric::Kind* kind) {
  static PyObject* const dtypes[] = {torch_dtype("float32"), torch_dtype("float16"),
                                     torch_dtype("bfloat16")};
  static constexpr numeric::Kind kinds[] = {numeric::Kind::F32, numeric::Kind::F16,
                                            numeric::Kind::BF16};
  const auto dtype = accel::detail::attribute(tensor, accel::detail::names().dtype);
  for (int i = 0; i < 3; ++i) {
    if (dtype.get() == dtypes[i]) {
      *kind = kinds[i];
      return true;
    }
  }
  return false;
}

// Bytes from the first to the end of the last element; 0 without elements.
std::int64_t span_of(const TensorView& view, std::int64_t size) {
  std::int64_t last = 0;
  for (int d = 0; d < view.ndim; ++d) {
    if (view.shape[d] == 0) return 0;
    last += (view.shape[d] - 1) * view.strides[d];
  }
  return (last + 1) * size;
}

struct Bounds {
  std::uintptr_t begin = 0, end = 0;
  bool meet(const Bounds& other) const { return begin < other.end && other.begin < end; }
};

Bounds bounds_of(const TensorView& view, std::int64_t size) {
  return {view.data, view.data + static_cast<std::uintptr_t>(span_of(view, size))};
}

// Every stride steps over all that lies within: then no two elements share memory.
bool nested(const TensorView& view) {
  std::vector<std::pair<std::int64_t, std::int64_t>> dims;  // stride, extent
  dims.reserve(static_cast<std::size_t>(view.ndim));
  for (int d = 0; d < view.ndim; ++d) {
    if (view.shape[d] == 0) return true;
    if (view.shape[d] > 1) dims.emplace_back(view.strides[d], view.shape[d]);
  }
  std::sort(dims.begin(), dims.end());
  std::int64_t span = 1;
  for (const auto& [stride, extent] : dims) {
    if (stride < span) return false;
    span += (extent - 1) * stride;
  }
  return true;
}

struct Positions {
  TensorView view;

  bool read(PyObject* object, const char* argument) {
    read_tensor(object, argument, &view);
    return view.is_cpu && (view.is_int32 || view.is_int64);
  }
  std::int64_t operator[](std::int64_t offset) const {
    return view.is_int64 ? reinterpret_cast<const std::int64_t*>(view.data)[offset]
                         : reinterpret_cast<const std::int32_t*>(view.data)[offset];
  }
  Bounds bounds() const { return bounds_of(view, view.is_int64 ? 8 : 4); }
};

bool same_shape(const TensorView& a, const std::int64_t* shape, int ndim) {
  return a.ndim == ndim && std::equal(shape, shape + ndim, a.shape);
}

bool read_table(PyObject* object, std::int64_t pairs, Table* table, Bounds* bounds) {
  if (object == Py_None) return true;
  TensorView view;
  read_tensor(object, "cos_sin_cache", &view);
  if (!kind_of(object, &table->kind) || !view.is_cpu) return false;
  if (view.ndim != 2 || view.shape[1] != 2 * pairs) return false;
  const auto size = static_cast<std::int64_t>(numeric::size_of(table->kind));
  // Without rows every position is out of range; the address then only says that there is a table.
  static const char none = 0;
  table->data = view.data == 0 ? &none : reinterpret_cast<const char*>(view.data);
  table->positions = view.shape[0];
  table->row_stride = view.strides[0] * size;
  table->stride = view.strides[1] * size;
  *bounds = bounds_of(view, size);
  return true;
}

// Adds a token that moves. False for a position out of range.
struct TokenList {
  std::int64_t positions;  // below this
  std::vector<Token>* tokens;

  bool add(std::int64_t offset, std::int64_t from, std::int64_t to) {
    if (from < 0 || to < 0 || from >= positions || to >= positions) return false;
    if (from != to) tokens->push_back({offset, {from, to}});
    return true;
  }
};

TokenList token_list(Work* work) {
  return {work->table.data != nullptr ? work->table.positions : kMaxPosition + 1, &work->tokens};
}

// Walks the leading axes of keys together with both positions; strides in elements.
bool list_tokens(const TensorView& keys, std::int64_t size, const Positions& from,
                 const Positions& to, TokenList list) {
  const int ndim = keys.ndim - 2;
  std::int64_t count = 1;
  for (int d = 0; d < ndim; ++d) count *= keys.shape[d];
  list.tokens->reserve(static_cast<std::size_t>(count));
  std::vector<std::int64_t> index(static_cast<std::size_t>(ndim), 0);
  std::int64_t key = 0, a = 0, b = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    if (!list.add(key * size, from[a], to[b])) return false;
    for (int d = ndim - 1; d >= 0; --d) {
      auto& at = index[static_cast<std::size_t>(d)];
      key += keys.strides[d];
      a += from.view.strides[d];
      b += to.view.strides[d];
      if (++at < keys.shape[d]) break;
      key -= at * keys.strides[d];
      a -= at * from.view.strides[d];
      b -= at * to.view.strides[d];
      at = 0;
    }
  }
  return true;
}

bool is_negated(PyObject* tensor) {
  return accel::detail::is_true(
      accel::detail::call_method(tensor, accel::detail::names().is_neg));
}

}  // namespace

void Rotation::add(std::int64_t head_dim, const std::vector<double>& inv_freq) {
  const auto dim = static_cast<std::int64_t>(2 * inv_freq.size());
  if (dim == 0 || offset_ < 0 || offset_ + dim > head_dim) {
    throw std::invalid_argument("rotated channels lie within the head");
  }
  of_head_dim_[head_dim] = std::make_shared<const std::vector<double>>(inv_freq);
}

bool Rotation::find(std::int64_t head_dim, Channels* channels,
                    std::shared_ptr<const std::vector<double>>* inv_freq) const {
  const auto found = of_head_dim_.find(head_dim);
  if (found == of_head_dim_.end()) return false;
  *inv_freq = found->second;
  channels->interleaved = interleaved_;
  channels->first = offset_;
  channels->pairs = static_cast<std::int64_t>(found->second->size());
  return true;
}

std::unique_ptr<KeyCache> make_key_cache(const kv::Addresses& bases, const kv::Addresses& tensors,
                                         const std::string& dtype,
                                         const std::vector<std::int64_t>& shape,
                                         const std::vector<std::int64_t>& strides,
                                         std::int64_t span) {
  auto cache = std::make_unique<KeyCache>();
  if (shape.size() != 5 || strides.size() != 5 || bases.empty()) {
    throw std::invalid_argument("[blocks, block_size, heads, D1, D0], and a base for every layer");
  }
  if (!numeric::kind_from_name(dtype.c_str(), &cache->kind)) {
    throw std::invalid_argument("no such dtype: " + dtype);
  }
  cache->bases = bases;
  cache->memory.tensors = tensors;
  cache->slots = shape[0] * shape[1];
  cache->heads = shape[2];
  cache->head_dim = shape[3] * shape[4];
  cache->paging = {shape[1], strides[0], strides[1]};
  cache->head_stride = strides[2];
  // The stride of an axis of one means nothing.
  const bool split = shape[3] > 1 && shape[4] > 1;
  cache->inner = split ? shape[4] : cache->head_dim;
  cache->stride = shape[4] > 1 ? strides[4] : strides[3];
  cache->outer_stride = split ? strides[3] : 0;
  cache->span = span;
  return cache;
}

bool read_tensor_call(const Rotation& rotation, PyObject* keys, PyObject* old_positions,
                      PyObject* new_positions, PyObject* table, bool apart, Work* work) {
  TensorView view;
  read_tensor(keys, "keys", &view);
  Channels& channels = work->channels;
  if (view.ndim < 2 || !view.is_cpu || !kind_of(keys, &channels.kind) || is_negated(keys)) {
    return false;
  }
  const std::int64_t head_dim = view.shape[view.ndim - 1];
  if (!rotation.find(head_dim, &channels, &work->inv_freq)) return false;
  Positions from, to;
  if (!from.read(old_positions, "old_positions") || !to.read(new_positions, "new_positions")) {
    return false;
  }
  const int leading = view.ndim - 2;
  if (!same_shape(from.view, view.shape, leading) || !same_shape(to.view, view.shape, leading)) {
    return false;
  }
  Bounds of_table;
  if (!read_table(table, channels.pairs, &work->table, &of_table)) return false;
  const auto size = static_cast<std::int64_t>(numeric::size_of(channels.kind));
  if (!apart) {
    const Bounds own = bounds_of(view, size);
    if (!nested(view) || own.meet(from.bounds()) || own.meet(to.bounds()) || own.meet(of_table)) {
      return false;
    }
  }
  work->bases = {view.data};
  work->heads = view.shape[leading];
  work->head_stride = view.strides[leading] * size;
  channels.inner = head_dim;
  channels.stride = view.strides[leading + 1] * size;
  if (view.numel() == 0) work->heads = 0;
  return list_tokens(view, size, from, to, token_list(work));
}

bool read_cache_call(const Rotation& rotation, const KeyCache& cache, PyObject* old_positions,
                     PyObject* new_positions, PyObject* table, PyObject* slots, PyObject* layer,
                     bool apart, Work* work) {
  std::size_t first = 0, count = cache.bases.size();
  if (layer != Py_None) {
    if (!PyLong_Check(layer)) return false;
    int overflow = 0;
    const long long wanted = PyLong_AsLongLongAndOverflow(layer, &overflow);
    if (overflow != 0 || wanted < 0 || wanted >= static_cast<long long>(count)) return false;
    first = static_cast<std::size_t>(wanted);
    count = 1;
  }
  Channels& channels = work->channels;
  if (!rotation.find(cache.head_dim, &channels, &work->inv_freq)) return false;
  channels.kind = cache.kind;
  channels.inner = cache.inner;
  channels.stride = cache.stride;
  channels.outer_stride = cache.outer_stride;

  Positions from, to, where;
  if (!where.read(slots, "slots") || where.view.ndim != 1) return false;
  if (!from.read(old_positions, "old_positions") || !to.read(new_positions, "new_positions")) {
    return false;
  }
  if (!same_shape(from.view, where.view.shape, 1) || !same_shape(to.view, where.view.shape, 1)) {
    return false;
  }
  Bounds of_table;
  if (!read_table(table, channels.pairs, &work->table, &of_table)) return false;
  work->bases.assign(cache.bases.begin() + static_cast<std::ptrdiff_t>(first),
                     cache.bases.begin() + static_cast<std::ptrdiff_t>(first + count));
  if (!apart) {
    for (const std::uintptr_t base : work->bases) {
      const Bounds own{base, base + static_cast<std::uintptr_t>(cache.span)};
      for (const Bounds& other : {from.bounds(), to.bounds(), where.bounds(), of_table}) {
        if (own.meet(other)) return false;
      }
    }
  }
  work->heads = cache.heads;
  work->head_stride = cache.head_stride;

  accel::SlotList rows, wanted;
  rows.size = wanted.size = where.view.shape[0];
  wanted.stride = where.view.strides[0];
  wanted.wide = where.view.is_int64;
  wanted.data = reinterpret_cast<const void*>(where.view.data);
  if (rows.size == 0) return true;
  accel::SlotPairs pairs;
  if (accel::check_slots(rows, wanted, rows.size, cache.slots, false, &pairs)) return false;
  TokenList list = token_list(work);
  work->tokens.reserve(pairs.src.size());
  for (std::size_t i = 0; i < pairs.src.size(); ++i) {
    const std::int64_t offset = accel_kv_unit_offset(&cache.paging, pairs.dst[i]);
    if (!list.add(offset, from[pairs.src[i] * from.view.strides[0]],
                  to[pairs.src[i] * to.view.strides[0]])) {
      return false;
    }
  }
  return true;
}

}  // namespace accel_cpu::rope
