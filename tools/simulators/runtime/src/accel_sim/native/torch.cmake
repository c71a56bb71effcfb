# For the libraries of a simulator that link torch: sets torch_root, and gives a target its headers
# and libraries with link_torch(TARGET). The process has loaded torch before.
execute_process(
  COMMAND "${CMAKE_COMMAND}" -E env TORCH_DEVICE_BACKEND_AUTOLOAD=0 "${Python_EXECUTABLE}" -c
          "import torch; print(torch.utils.cmake_prefix_path)"
  OUTPUT_VARIABLE torch_cmake OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE torch_missing)
if(torch_missing)
  message(FATAL_ERROR "torch was not found: build with `pip install --no-build-isolation` in an "
                      "environment that has it")
endif()
get_filename_component(torch_root "${torch_cmake}/../.." ABSOLUTE)

function(link_torch target)
  target_include_directories(${target} SYSTEM PRIVATE
    "${torch_root}/include" "${torch_root}/include/torch/csrc/api/include")
  # Glue over torch's kernels: optimising it buys nothing but compile time.
  target_compile_options(${target} PRIVATE -Wall -Wextra -O1 -g0)
  target_link_directories(${target} PRIVATE "${torch_root}/lib")
  target_link_libraries(${target} PRIVATE torch_cpu c10)
endfunction()
