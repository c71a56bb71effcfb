// Pinned memory: one cache for the process.
#include "block_cache.hpp"
#include "checks.hpp"
#include "torch_mlu/allocator.hpp"

namespace torch_mlu {
namespace {

void* make(std::size_t bytes) {
  void* memory = nullptr;
  const cnrtRet_t code = cnrtHostMalloc(&memory, bytes);
  if (code == cnrtErrorNoMem || code == cnrtErrorSysNoMem) return nullptr;
  check(code, "cnrtHostMalloc");
  return memory;
}

BlockCache& cache() {
  // Free memory of the host is in nobody's use.
  static auto* const one = new BlockCache(
      {make, [](void* memory) { MLU_CHECK(cnrtFreeHost, memory); },
       [](c10::StreamId) { return true; }, [](c10::StreamId) {}},
      -1);
  return *one;
}

class Allocator final : public c10::Allocator {
 public:
  c10::DataPtr allocate(std::size_t bytes) override {
    if (bytes == 0) return {nullptr, nullptr, &free, c10::DeviceType::CPU};
    void* const memory = cache().allocate(bytes, 0);
    TORCH_CHECK_WITH(OutOfMemoryError, memory != nullptr, "no pinned memory left: tried to ",
                     "allocate ", bytes, " bytes");
    return {memory, memory, &free, c10::DeviceType::CPU};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free; }
  void copy_data(void* target, const void* source, std::size_t bytes) const override {
    default_copy_data(target, source, bytes);
  }

 private:
  static void free(void* memory) { cache().free(memory); }
};

Allocator allocator;

}  // namespace

c10::Allocator& pinned_allocator() { return allocator; }

void record_pinned(const void* data, const c10::Stream& stream) { cache().record(data, stream); }

void empty_pinned_cache() { cache().empty(); }

}  // namespace torch_mlu
