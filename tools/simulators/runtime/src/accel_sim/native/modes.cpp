#include "accel_sim/modes.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>
#include <stdexcept>

namespace accel_sim {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::uint64_t number(const std::string& text, const std::string& what) {
  std::size_t used = 0;
  std::uint64_t value = 0;
  try {
    value = std::stoull(text, &used, 0);
  } catch (const std::exception&) {
    used = 0;
  }
  if (text.empty() || used != text.size() || text[0] == '-') {
    throw std::invalid_argument(what + " must be a whole number >= 0, not '" + text + "'");
  }
  return value;
}

std::uint64_t number_variable(const char* name, std::uint64_t otherwise) {
  const std::string text = variable(name);
  return text.empty() ? otherwise : number(text, name);
}

std::vector<std::string> split(const std::string& text, char mark) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin <= text.size()) {
    const std::size_t end = std::min(text.find(mark, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

Modes from_environment() {
  Modes result;
  result.seed = number_variable("ACCEL_SIM_SEED", 0);
  result.delay_us = static_cast<std::uint32_t>(number_variable("ACCEL_SIM_DELAY_US", 0));
  result.strict = number_variable("ACCEL_SIM_STRICT", 0) != 0;
  result.faults = parse_faults(variable("ACCEL_SIM_FAULTS"));
  result.trace = variable("ACCEL_SIM_TRACE");
  result.devices = static_cast<int>(number_variable("ACCEL_SIM_DEVICES", 2));
  result.memory = number_variable("ACCEL_SIM_MEMORY", result.memory);
  return result;
}

}  // namespace

std::vector<Fault> parse_faults(const std::string& plan) {
  std::vector<Fault> faults;
  for (const std::string& entry : split(plan, ';')) {
    if (entry.empty()) continue;
    Fault fault;
    for (const std::string& part : split(entry, ',')) {
      const std::size_t equal = part.find('=');
      const std::string key = part.substr(0, equal);
      const std::string value = equal == std::string::npos ? "" : part.substr(equal + 1);
      const std::string what = "ACCEL_SIM_FAULTS: " + key + " in '" + entry + "'";
      if (key == "call" && !value.empty()) {
        fault.call = value;
      } else if (key == "nth") {
        fault.nth = number(value, what);
        if (fault.nth == 0) throw std::invalid_argument(what + " counts from 1");
      } else if (key == "code") {
        fault.code = static_cast<int>(number(value, what));
      } else if (key == "ms") {
        fault.ms = number(value, what);
      } else if (key == "rank") {
        fault.rank = static_cast<int>(number(value, what));
      } else if (key == "where" && (value == "call" || value == "stream")) {
        fault.on_stream = value == "stream";
      } else {
        throw std::invalid_argument("ACCEL_SIM_FAULTS: '" + part + "' in '" + entry +
                                    "': expected call=NAME, nth=N, code=N, ms=N, rank=N or "
                                    "where=call|stream");
      }
    }
    if (fault.call.empty()) {
      throw std::invalid_argument("ACCEL_SIM_FAULTS: '" + entry + "' names no call=NAME");
    }
    faults.push_back(fault);
  }
  return faults;
}

const Modes& modes() {
  // Never destroyed: streams may still run while the process ends.
  static const Modes* const parsed = [] {
    try {
      return new Modes(from_environment());
    } catch (const std::exception& exception) {
      // A mode that is not understood must not turn into a run without it.
      std::fprintf(stderr, "accel simulator: %s\n", exception.what());
      std::exit(2);
    }
  }();
  return *parsed;
}

std::string choice(const char* name, const std::vector<std::string>& values) {
  const std::string given = variable(name);
  if (given.empty()) return values.front();
  if (std::find(values.begin(), values.end(), given) != values.end()) return given;
  std::string all;
  for (const std::string& value : values) all += (all.empty() ? "" : ", ") + value;
  std::fprintf(stderr, "accel simulator: %s is one of %s, not '%s'\n", name, all.c_str(),
               given.c_str());
  std::exit(2);
}

const Fault* fault(const char* name) {
  const std::vector<Fault>& plan = modes().faults;
  if (plan.empty()) return nullptr;
  static std::mutex* const mutex = new std::mutex;
  static auto* const calls = new std::map<std::string, std::uint64_t>;
  std::lock_guard<std::mutex> lock(*mutex);
  const std::uint64_t nth = ++(*calls)[name];
  for (const Fault& planned : plan) {
    if (planned.nth == nth && planned.call == name) return &planned;
  }
  return nullptr;
}

}  // namespace accel_sim
