# From CUDA_SOURCES: the module libunderstudy_cuda.so, by nvcc, and us_cuda_host, the same by the C++
# compiler with the threads of kernels as fibers, which tests open in the module's place.

include(CheckLanguage)
set(NVCC "")  # of the compiles test

# ---- for GPUs: code of three generations, and PTX for those to come ----
set(CUDA_MODULE ${UNDERSTUDY_CUDA})
if(CUDA_MODULE STREQUAL AUTO AND (UNDERSTUDY_SANITIZE OR NOT CMAKE_BUILD_TYPE STREQUAL Release
                                  OR NOT CMAKE_C_COMPILER_ID STREQUAL GNU))
  set(CUDA_MODULE OFF)
endif()
if(CUDA_MODULE)
  find_program(UNDERSTUDY_NVCC nvcc HINTS ${CMAKE_CUDA_COMPILER} PATHS /usr/local/cuda/bin)
  if(UNDERSTUDY_NVCC AND NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${UNDERSTUDY_NVCC})
  endif()
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90-real 100)
  check_language(CUDA)
  get_filename_component(CUDA_LIB "${CMAKE_CUDA_COMPILER}/../../lib64" ABSOLUTE)
  find_library(CUBLAS_LIBRARY cublas HINTS ${CUDA_LIB})
  if(CMAKE_CUDA_COMPILER AND CUBLAS_LIBRARY)
    enable_language(CUDA)
    set(NVCC ${CMAKE_CUDA_COMPILER})
  elseif(CUDA_MODULE STREQUAL AUTO)
    message(STATUS "No nvcc with cuBLAS: the module for GPUs is not built")
  else()
    message(FATAL_ERROR "UNDERSTUDY_CUDA is ${CUDA_MODULE}, but nvcc or cuBLAS is not found")
  endif()
endif()
if(NVCC AND CUDA_SOURCES)
  add_library(understudy_cuda SHARED ${CUDA_SOURCES})
  set(CUDA_EXPORTS "${CMAKE_BINARY_DIR}/cuda_exports.map")
  file(CONFIGURE OUTPUT ${CUDA_EXPORTS} CONTENT "{ global: us_cuda_open; local: *; };\n")
  set_target_properties(understudy_cuda PROPERTIES CUDA_STANDARD 17 CUDA_STANDARD_REQUIRED ON
    CUDA_RUNTIME_LIBRARY Static CUDA_VISIBILITY_PRESET hidden LINK_DEPENDS ${CUDA_EXPORTS}
    BUILD_RPATH ${CUDA_LIB} INSTALL_RPATH "$ORIGIN/..;${CUDA_LIB}")
  target_compile_options(understudy_cuda PRIVATE
    -Xcompiler=-Wall,-Wextra,-Wno-unused-parameter,-ffp-contract=off)
  # The search gives the CPU's bits where its functions do.
  set_source_files_properties(worldmodel/ops/cuda/ops_cuda_search.cu PROPERTIES
    COMPILE_OPTIONS --fmad=false)
  target_link_libraries(understudy_cuda PRIVATE libunderstudy ${CUBLAS_LIBRARY})
  # An operation without a kernel is an error of this link.
  target_link_options(understudy_cuda PRIVATE "-Wl,--version-script=${CUDA_EXPORTS},-z,defs")
endif()

# ---- for the host ----
if(NOT UNDERSTUDY_SANITIZE STREQUAL "thread" AND UNDERSTUDY_TESTS)
  check_language(CXX)
  if(CMAKE_CXX_COMPILER)
    enable_language(CXX)
  else()
    message(STATUS "No C++ compiler: the CUDA code is not tested")
  endif()
endif()
# Gives a target the .cu files as C++: each through a file of its own that includes it, since a
# source has one language in a folder.
function(understudy_for_host target)
  foreach(F ${ARGN})
    get_filename_component(N ${F} NAME_WE)
    set(WRAPPER "${CMAKE_BINARY_DIR}/cuda_host/${N}.cc")
    file(CONFIGURE OUTPUT ${WRAPPER} CONTENT "#include \"${F}\"\n")
    target_sources(${target} PRIVATE ${WRAPPER})
  endforeach()
  target_compile_definitions(${target} PRIVATE US_CUDA_HOST)
  target_compile_options(${target} PRIVATE -O2 -Wno-unknown-pragmas)
  set_target_properties(${target} PROPERTIES CXX_STANDARD 17 CXX_VISIBILITY_PRESET hidden)
endfunction()
if(CMAKE_CXX_COMPILER_LOADED)
  file(GLOB EMULATOR CONFIGURE_DEPENDS worldmodel/ops/cuda/host_*.cc)
  add_library(us_cuda_emulator OBJECT ${EMULATOR})
  understudy_for_host(us_cuda_emulator)
  target_link_libraries(us_cuda_emulator PUBLIC PkgConfig::OPENBLAS Threads::Threads m)
  if(CUDA_SOURCES)
    add_library(us_cuda_host SHARED)
    understudy_for_host(us_cuda_host ${CUDA_SOURCES})
    target_link_libraries(us_cuda_host PRIVATE us_cuda_emulator libunderstudy)
  endif()
endif()
