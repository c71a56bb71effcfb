// Four threads use two devices at once: every stream, event and copy that they share nothing of must
// still give each its own bytes. Built by test_stress.py against the installed libraries; under a
// sanitizer it is built with the simulator's sources instead (all but releases.cpp):
//   g++ -std=c++17 -O1 -g -fsanitize=thread -I RUNTIME/include -I ASCENDCL RUNTIME/*.cpp
//       ASCENDCL/*.cpp stress.cpp -ldl -pthread && ACCEL_SIM_DELAY_US=100 setarch -R ./a.out
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

extern "C" {
const char* aclGetRecentErrMsg();
int aclrtSetDevice(int);
int aclrtMalloc(void**, std::size_t, int);
int aclrtFree(void*);
int aclrtMallocHost(void**, std::size_t);
int aclrtFreeHost(void*);
int aclrtCreateStream(void**);
int aclrtDestroyStream(void*);
int aclrtSynchronizeDevice();
int aclrtMemcpyAsync(void*, std::size_t, const void*, std::size_t, int, void*);
int aclrtMemsetAsync(void*, std::size_t, int, std::size_t, void*);
int aclrtCreateEventExWithFlag(void**, std::uint32_t);
int aclrtDestroyEvent(void*);
int aclrtRecordEvent(void*, void*);
int aclrtStreamWaitEvent(void*, void*);
int aclrtSynchronizeEvent(void*);
int aclrtQueryEventStatus(void*, int*);
int aclrtStreamQuery(void*, int*);
int aclrtLaunchHostFunc(void*, void (*)(void*), void*);
}

namespace {

constexpr int kThreads = 4;
constexpr int kRounds = 60;
constexpr std::size_t kBytes = 4096;

std::atomic<int> host_functions{0};

void ok(int code, const char* what) {
  if (code == 0) return;
  const char* text = aclGetRecentErrMsg();
  std::printf("%s: %d %s\n", what, code, text ? text : "");
  std::abort();
}
#define OK(call) ok(call, #call)

void use_device(int id) {
  OK(aclrtSetDevice(id % 2));
  std::vector<void*> streams(3);
  for (void*& stream : streams) OK(aclrtCreateStream(&stream));
  void* given = nullptr;
  void* back = nullptr;
  OK(aclrtMallocHost(&given, kBytes));
  OK(aclrtMallocHost(&back, kBytes));
  for (int round = 0; round < kRounds; ++round) {
    std::memset(given, id + round, kBytes);
    void* device = nullptr;
    void* written = nullptr;
    void* read = nullptr;
    int status = 0;
    OK(aclrtMalloc(&device, kBytes, 0));
    OK(aclrtCreateEventExWithFlag(&written, 8));
    OK(aclrtCreateEventExWithFlag(&read, 1));
    OK(aclrtMemsetAsync(device, kBytes, 99, kBytes, streams[0]));
    OK(aclrtMemcpyAsync(device, kBytes, given, kBytes, 1, streams[0]));
    OK(aclrtRecordEvent(written, streams[0]));
    OK(aclrtStreamWaitEvent(streams[1], written));
    OK(aclrtMemcpyAsync(back, kBytes, device, kBytes, 2, streams[1]));
    OK(aclrtLaunchHostFunc(streams[1], [](void*) { ++host_functions; }, nullptr));
    OK(aclrtRecordEvent(read, streams[1]));
    OK(aclrtQueryEventStatus(read, &status));
    OK(aclrtStreamQuery(streams[2], &status));
    if (round % 3 == 0) {
      OK(aclrtSynchronizeDevice());
    } else {
      OK(aclrtSynchronizeEvent(read));
    }
    for (std::size_t at = 0; at < kBytes; ++at) {
      if (static_cast<unsigned char*>(back)[at] != static_cast<unsigned char>(id + round)) {
        ok(-1, "the bytes that came back");
      }
    }
    OK(aclrtDestroyEvent(written));
    OK(aclrtDestroyEvent(read));
    OK(aclrtFree(device));
  }
  for (void* stream : streams) OK(aclrtDestroyStream(stream));
  OK(aclrtFreeHost(given));
  OK(aclrtFreeHost(back));
}

}  // namespace

int main() {
  std::vector<std::thread> threads;
  for (int id = 0; id < kThreads; ++id) threads.emplace_back(use_device, id + 1);
  for (std::thread& thread : threads) thread.join();
  std::printf("%d\n", host_functions.load());
}
