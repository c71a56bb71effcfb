// Which release of CNRT and which chip this library claims to be, and which of two codes it gives to
// work that has not ended.
#pragma once

#include <string>

namespace cnrt {

struct Pose {
  bool is_614 = true;
  int major = 6;
  int minor = 14;
  int patch = 1;
  std::string release;   // "6.14.1"
  int not_ready = 1;     // NotReady, or Busy
  std::string chip;      // "MLU590"
  int capability = 50;   // major and minor compute capability: 50 is 5.0
  int isa = 592;
  int clusters = 12;
  int cores = 4;         // of a cluster
  int nram_bytes = 512 << 10;
  int wram_bytes = 512 << 10;
  int sram_bytes = 2 << 20;
  int l2_bytes = 96 << 20;
};

const Pose& pose();

}  // namespace cnrt
