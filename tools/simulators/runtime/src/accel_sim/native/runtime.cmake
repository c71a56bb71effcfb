# Included by a simulator's CMakeLists.txt: the target accel_sim_runtime, one shared library that all
# of the simulator's vendor libraries link, so that its state exists once in a process.
find_package(Threads REQUIRED)
file(GLOB accel_sim_sources CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/*.cpp"
     "${CMAKE_CURRENT_LIST_DIR}/ranks/*.cpp")
add_library(accel_sim_runtime SHARED ${accel_sim_sources})
target_include_directories(accel_sim_runtime PUBLIC "${CMAKE_CURRENT_LIST_DIR}/include")
target_compile_features(accel_sim_runtime PUBLIC cxx_std_17)
target_compile_options(accel_sim_runtime PRIVATE -Wall -Wextra -fvisibility=hidden)
target_link_libraries(accel_sim_runtime PUBLIC Threads::Threads ${CMAKE_DL_LIBS})
