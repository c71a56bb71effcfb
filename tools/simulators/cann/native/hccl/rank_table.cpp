#include "rank_table.hpp"

#include <unistd.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <set>

#include "exports.hpp"

namespace accel_hccl {
namespace {

// The values of every "rank_id" in the text; the rest of the table describes networks, and there is
// none here.
std::multiset<std::uint32_t> rank_ids(const std::string& text) {
  std::multiset<std::uint32_t> ids;
  const std::string key = "\"rank_id\"";
  for (std::size_t at = text.find(key); at != std::string::npos; at = text.find(key, at + 1)) {
    std::size_t next = at + key.size();
    while (next < text.size() && (std::isspace(static_cast<unsigned char>(text[next])) != 0 ||
                                  text[next] == ':' || text[next] == '"')) {
      ++next;
    }
    ids.insert(static_cast<std::uint32_t>(std::strtoul(text.c_str() + next, nullptr, 10)));
  }
  return ids;
}

}  // namespace

RankTable read_rank_table(const char* path) {
  std::ifstream file(path);
  if (!file) {
    throw RankFailure(Problem::file,
                      std::string("clusterInfo: cannot read the rank table ") + path);
  }
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::multiset<std::uint32_t> ids = rank_ids(text);
  std::uint32_t expected = 0;
  for (const std::uint32_t id : ids) {
    if (id != expected++) {
      throw RankFailure(Problem::argument, std::string("clusterInfo: the rank_ids of ") + path +
                                         " are not 0 to " + std::to_string(ids.size() - 1) +
                                         ", each once");
    }
  }
  if (ids.empty()) {
    throw RankFailure(Problem::argument, std::string("clusterInfo: ") + path + " lists no rank_id");
  }
  // Each use of one table by a process makes another communicator: they are told apart by counting.
  static std::mutex* const mutex = new std::mutex;
  static auto* const uses = new std::map<std::size_t, unsigned>;
  const std::size_t hash = std::hash<std::string>()(std::string(path) + "\n" + text);
  std::lock_guard<std::mutex> lock(*mutex);
  char address[80];
  std::snprintf(address, sizeof address, "accel-sim-hccl-table-%u-%zx-%u",
                static_cast<unsigned>(getuid()), hash, (*uses)[hash]++);
  return {static_cast<std::uint32_t>(ids.size()), address};
}

}  // namespace accel_hccl
