#include "exports.hpp"

#include "accel_sim/failure.hpp"

namespace accel_cncl {
namespace {

struct Remembered {
  cnclResult_t code = CNCL_RET_SUCCESS;
  std::string text;
  std::string answer;
};

thread_local Remembered last;

}  // namespace

void remember(cnclResult_t code, const std::string& text) {
  last.code = code;
  last.text = text;
}

const char* explain(cnclResult_t code) {
  if (code != last.code || last.text.empty()) return result_name(code);
  last.answer = std::string(result_name(code)) + ": " + last.text;
  return last.answer.c_str();
}

accel_ranks::CommunicatorPointer communicator(cnclComm_t comm) {
  try {
    return accel_ranks::communicator_of(comm);
  } catch (const RankFailure& failure) {
    throw RankFailure(Problem::unavailable, failure.what());
  }
}

std::uint32_t rank_of(const char* name, int rank) {
  if (rank >= 0) return static_cast<std::uint32_t>(rank);
  throw RankFailure(Problem::argument,
                    std::string(name) + " is " + std::to_string(rank) + ", which is no rank");
}

cnclResult_t finish(int code) {
  const auto result = static_cast<cnclResult_t>(code);
  if (code != 0) remember(result, accel_sim::recent_error_text());
  return result;
}

}  // namespace accel_cncl
