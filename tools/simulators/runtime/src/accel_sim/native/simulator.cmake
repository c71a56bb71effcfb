# Included by a simulator's CMakeLists.txt after project(): how its libraries are built, the core, and
# a function that adds the folders of a simulator, one for each library.
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_CXX_STANDARD 17)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")
set(CMAKE_SKIP_BUILD_RPATH OFF)
set(CMAKE_BUILD_RPATH "$ORIGIN")
set(CMAKE_INSTALL_RPATH "$ORIGIN;$ORIGIN/..")
# A search path of its own that LD_LIBRARY_PATH overrides.
set(CMAKE_SHARED_LINKER_FLAGS "${CMAKE_SHARED_LINKER_FLAGS} -Wl,--enable-new-dtags")

# Where every library of the simulator goes, such as accel_sim_cann/lib. A folder adds its libraries
# with install(TARGETS ... LIBRARY DESTINATION ${simulator_libraries}).
set(simulator_libraries ${PROJECT_NAME}/lib)
include("${CMAKE_CURRENT_LIST_DIR}/runtime.cmake")
install(TARGETS accel_sim_runtime LIBRARY DESTINATION ${simulator_libraries})

function(add_simulator_libraries)
  foreach(part IN LISTS ARGN)
    if(EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/native/${part}/CMakeLists.txt")
      add_subdirectory(native/${part})
    endif()
  endforeach()
endfunction()
