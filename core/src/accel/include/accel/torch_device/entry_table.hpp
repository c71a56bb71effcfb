// A vendor's library as a struct of function pointers, found by name when it is opened.
//
//   #define MY_REQUIRED(X) X(set_device, (int), "cnrtSetDevice")    // X(member, (types), name)
//   #define MY_OPTIONAL(X) X(memset_d8, (void*), "cnrtMemsetD8")    // what versions may lack
//   #define MY_TEXT(X)     X(simulator, (), "accel_simulator")      // these give const char*
//   ACCEL_ENTRY_TABLE(Cnrt, MY_REQUIRED, MY_OPTIONAL, MY_TEXT)
//   using Opened = accel::OpenedLibrary<Cnrt>;
//
// gives `struct Cnrt` with those members (null: not there) and `enum class Entry` of their names.
#pragma once

#include <dlfcn.h>

#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "runtime.hpp"

#define ACCEL_ENTRY_NAME(member, arguments, name) member,
#define ACCEL_ENTRY_POINTER(member, arguments, name) int(*member) arguments = nullptr;
#define ACCEL_ENTRY_TEXT(member, arguments, name) const char*(*member)arguments = nullptr;
#define ACCEL_ENTRY_CASE(member, arguments, name) \
  case Entry::member: return name;
#define ACCEL_ENTRY_FIND(member, arguments, name) accel::find_entry(library, name, member);
#define ACCEL_ENTRY_MISSING(member, arguments, name) \
  if (member == nullptr) missing.emplace_back(name);

#define ACCEL_ENTRY_TABLE(Table, REQUIRED, OPTIONAL, TEXT)                       \
  enum class Entry { REQUIRED(ACCEL_ENTRY_NAME) OPTIONAL(ACCEL_ENTRY_NAME) };    \
  inline const char* entry_name(Entry entry) {                                   \
    switch (entry) { REQUIRED(ACCEL_ENTRY_CASE) OPTIONAL(ACCEL_ENTRY_CASE) }     \
    return "?";                                                                  \
  }                                                                              \
  struct Table {                                                                 \
    REQUIRED(ACCEL_ENTRY_POINTER)                                                \
    OPTIONAL(ACCEL_ENTRY_POINTER)                                                \
    TEXT(ACCEL_ENTRY_TEXT)                                                       \
    std::string name; /* of the library, as it was opened */                     \
    void* handle = nullptr; /* of dlopen, for what is looked up later */         \
    void look_up(void* library) {                                                \
      handle = library;                                                          \
      REQUIRED(ACCEL_ENTRY_FIND) OPTIONAL(ACCEL_ENTRY_FIND) TEXT(ACCEL_ENTRY_FIND) \
    }                                                                            \
    std::vector<std::string> missing_required() const {                          \
      std::vector<std::string> missing;                                          \
      REQUIRED(ACCEL_ENTRY_MISSING)                                              \
      return missing;                                                            \
    }                                                                            \
    std::vector<std::string> missing_optional() const {                          \
      std::vector<std::string> missing;                                          \
      OPTIONAL(ACCEL_ENTRY_MISSING)                                              \
      return missing;                                                            \
    }                                                                            \
  };

namespace accel {

template <class Function>
void find_entry(void* library, const char* name, Function& found) {
  found = reinterpret_cast<Function>(dlsym(library, name));
}

// The library of the process; `Table` is of ACCEL_ENTRY_TABLE.
template <class Table>
class OpenedLibrary {
 public:
  static const Table& table() { return only().table; }

  static bool is_open() {
    std::lock_guard<std::mutex> lock(only().mutex);
    return only().opened;
  }

  // Opens the first library of `names` that is one; later calls do nothing. RuntimeMissing names
  // `what`, with `install` as the cure, or that of an entry that this version lacks.
  static void open(const std::vector<std::string>& names, const std::string& what,
                   const std::string& install, const std::string& upgrade) {
    std::lock_guard<std::mutex> lock(only().mutex);
    if (only().opened) return;
    std::string errors;
    for (const std::string& name : names) {
      void* const library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
      if (library == nullptr) {
        const char* const why = dlerror();
        errors += (errors.empty() ? "" : "; ") + std::string(why == nullptr ? name.c_str() : why);
        continue;
      }
      Table found;
      found.look_up(library);
      found.name = name;
      require(found, upgrade);
      only().table = std::move(found);
      only().opened = true;
      return;
    }
    throw RuntimeMissing(what + " cannot be opened: " + errors, install);
  }

 private:
  struct State {
    std::mutex mutex;
    Table table;
    bool opened = false;
  };

  static State& only() {
    static auto* state = new State;  // callbacks may use it while the program ends
    return *state;
  }

  static void require(const Table& found, const std::string& upgrade) {
    std::string all;
    for (const std::string& name : found.missing_required()) {
      all += (all.empty() ? "" : ", ") + name;
    }
    if (!all.empty()) throw RuntimeMissing(found.name + " lacks " + all, upgrade);
  }
};

}  // namespace accel
