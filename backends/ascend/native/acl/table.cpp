#include "table.hpp"

#include <dlfcn.h>

#include <mutex>

#include "error.hpp"

namespace accel_ascend {

namespace detail {
Acl the_acl;
}

namespace {

std::mutex opening;
bool opened = false;

constexpr const char* kCure =
    "install CANN and make it known to this shell: source "
    "/usr/local/Ascend/ascend-toolkit/set_env.sh";

template <class Function>
bool find(void* library, const char* name, Function& found) {
  found = reinterpret_cast<Function>(dlsym(library, name));
  return found != nullptr;
}

Acl look_up(void* library, const std::string& name) {
  Acl table;
  std::string missing;
#define ACCEL_ACL_FIND(member, arguments, name) \
  if (!find(library, name, table.member)) missing += std::string(missing.empty() ? "" : ", ") + name;
  ACCEL_ACL_REQUIRED_ENTRIES(ACCEL_ACL_FIND)
#undef ACCEL_ACL_FIND
  if (!missing.empty()) {
    throw AclMissing(name + " lacks " + missing, "install CANN 8.0 or newer");
  }
#define ACCEL_ACL_FIND(member, arguments, name) find(library, name, table.member);
  ACCEL_ACL_OPTIONAL_ENTRIES(ACCEL_ACL_FIND)
#undef ACCEL_ACL_FIND
#define ACCEL_ACL_FIND(member, name) find(library, name, table.member);
  ACCEL_ACL_TEXT_ENTRIES(ACCEL_ACL_FIND)
#undef ACCEL_ACL_FIND
  table.handle = library;
  table.library = name;
  return table;
}

}  // namespace

void open_acl(const std::vector<std::string>& names) {
  std::lock_guard<std::mutex> lock(opening);
  if (opened) return;
  std::string errors;
  for (const std::string& name : names) {
    void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      const char* why = dlerror();
      errors += (errors.empty() ? "" : "; ") + std::string(why == nullptr ? name.c_str() : why);
      continue;
    }
    detail::the_acl = look_up(library, name);
    opened = true;
    return;
  }
  throw AclMissing("CANN's libascendcl cannot be opened: " + errors, kCure);
}

bool acl_is_open() noexcept {
  std::lock_guard<std::mutex> lock(opening);
  return opened;
}

std::vector<std::string> missing_entries() {
  std::vector<std::string> missing;
#define ACCEL_ACL_LIST(member, arguments, name) \
  if (acl().member == nullptr) missing.emplace_back(name);
  ACCEL_ACL_OPTIONAL_ENTRIES(ACCEL_ACL_LIST)
#undef ACCEL_ACL_LIST
  return missing;
}

std::string cann_version() {
  if (acl().cann_version == nullptr) return {};
  for (const int package : {0, 1}) {  // CANN itself, then its runtime
    PackageVersion found{};
    if (acl().cann_version(package, &found) != kSuccess || found.version[0] == '\0') continue;
    found.version[sizeof found.version - 1] = '\0';
    return found.version;
  }
  return {};
}

const char* entry_name(Entry entry) {
  switch (entry) {
#define ACCEL_ACL_CASE(member, arguments, name) \
  case Entry::member: return name;
    ACCEL_ACL_REQUIRED_ENTRIES(ACCEL_ACL_CASE)
    ACCEL_ACL_OPTIONAL_ENTRIES(ACCEL_ACL_CASE)
#undef ACCEL_ACL_CASE
  }
  return "?";
}

}  // namespace accel_ascend
