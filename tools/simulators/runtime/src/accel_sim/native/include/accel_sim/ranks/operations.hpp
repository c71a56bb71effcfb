// The operations as vendor libraries export them: arguments checked, then launched, or held by the
// thread's group. `comm` and `stream` are handles; a null buffer is an error unless nothing is moved.
#pragma once

#include <cstdint>
#include <vector>

#include "accel_sim/ranks/collectives.hpp"
#include "accel_sim/ranks/messages.hpp"

namespace accel_ranks __attribute__((visibility("default"))) {

void all_reduce(const void* send, void* receive, std::uint64_t count, DataType type,
                Reduction reduction, void* comm, void* stream);
/// The result lies on the root alone; the others' `receive` may be null.
void reduce_to(const void* send, void* receive, std::uint64_t count, DataType type,
               Reduction reduction, std::uint32_t root, void* comm, void* stream);
/// From the root's `send`, which may be its `receive`, to every rank's `receive`.
void broadcast(const void* send, void* receive, std::uint64_t count, DataType type,
               std::uint32_t root, void* comm, void* stream);
/// `count` elements go to each rank; the others' `send` may be null.
void scatter(const void* send, void* receive, std::uint64_t count, DataType type,
             std::uint32_t root, void* comm, void* stream);
/// `count` elements come from each rank.
void all_gather(const void* send, void* receive, std::uint64_t count, DataType type, void* comm,
                void* stream);
/// `count` elements stay on each rank.
void reduce_scatter(const void* send, void* receive, std::uint64_t count, DataType type,
                    Reduction reduction, void* comm, void* stream);
/// Strict: the buffers must differ.
void all_to_all(const void* send, std::uint64_t send_count, DataType send_type, void* receive,
                std::uint64_t receive_count, DataType receive_type, void* comm, void* stream);
void barrier(void* comm, void* stream);

/// Puts a call that its library described on the stream, or into the thread's group.
void submit(void* comm, CollectiveCall call, void* stream);
/// A send or a receive. Outside a group a rank cannot meet itself.
void submit(void* comm, const Message& message, void* stream);
void submit(void* comm, std::vector<Message> messages, void* stream);

// --- for libraries that describe calls themselves -------------------------------------------------

CollectiveCall describe(Operation operation, DataType type, const void* send, void* receive,
                        std::uint64_t count);
CollectiveCall describe_reduction(Operation operation, DataType type, Reduction reduction,
                                  const void* send, void* receive, std::uint64_t count);
/// The places of pieces that lie at offsets, in elements of a type, behind a buffer's begin.
std::vector<const void*> places(const void* base, const std::vector<std::uint64_t>& offsets,
                                DataType type);
std::vector<void*> places(void* base, const std::vector<std::uint64_t>& offsets, DataType type);
/// Throws null_pointer.
void check_pointer(const char* name, const void* pointer);
/// Strict: throws argument for a call whose two buffers are one.
void check_distinct(const void* send, const void* receive);

}  // namespace accel_ranks
