# The native module of a plugin: all native/*.cpp on core's headers, with no vendor's library linked.
#
#   include("${core_include}/accel/native_module.cmake")
#   accel_native_module(accel_mlu)      # installs accel_mlu/_native
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

find_package(Threads REQUIRED)
find_package(Python REQUIRED COMPONENTS Interpreter Development.Module)
find_package(pybind11 CONFIG REQUIRED)

get_filename_component(accel_core_include "${CMAKE_CURRENT_LIST_DIR}/.." ABSOLUTE)

function(accel_native_module package)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS native/*.cpp)
  pybind11_add_module(_native MODULE ${sources})
  target_include_directories(_native PRIVATE native "${accel_core_include}")
  target_compile_options(_native PRIVATE -Wall -Wextra -fvisibility=hidden)
  target_link_libraries(_native PRIVATE Threads::Threads ${CMAKE_DL_LIBS})
  install(TARGETS _native LIBRARY DESTINATION ${package})
endfunction()
