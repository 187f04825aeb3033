# Language, warnings and optimisation: the same for every target.
set(CMAKE_C_STANDARD 17)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON) # every module goes into libnorn.so too
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_BUILD_RPATH_USE_ORIGIN ON)
set(CMAKE_INSTALL_RPATH "$ORIGIN;$ORIGIN/../lib")

option(NORN_WERROR "Warnings are errors" ON)
option(NORN_TESTS "Build the tests" ON)
option(NORN_TESTS_SHARED "Test programs link libnorn.so, as tools/mutate needs it" OFF)
option(NORN_FUZZ "Build the libFuzzer targets (clang)" OFF)
set(NORN_SANITIZE "" CACHE STRING "Value of -fsanitize=, empty for none")

set(NORN_C_FLAGS
    -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
    -Wundef -Wcast-qual -Wformat=2 -Wswitch-enum -Wimplicit-fallthrough -fno-common
    # Bytes of a file are viewed as elements, and NORN_NEW writes any T* through a void**.
    -fno-strict-aliasing
    # Nothing reads errno after a math function or the floating-point exception flags.
    -fno-math-errno -fno-trapping-math
    # Internal calls inside libnorn.so need not go through the PLT.
    -fno-semantic-interposition)
if(CMAKE_C_COMPILER_ID STREQUAL GNU)
    list(APPEND NORN_C_FLAGS -Wdouble-promotion) # clang's also tells on INFINITY and NAN
endif()
if(NORN_WERROR)
    list(APPEND NORN_C_FLAGS -Werror)
endif()
add_compile_definitions(_GNU_SOURCE)
add_compile_options("$<$<COMPILE_LANGUAGE:C>:${NORN_C_FLAGS}>")

if(NORN_SANITIZE)
    if(CMAKE_C_COMPILER_ID STREQUAL GNU)
        # gcc loses track of values among the inserted checks; the plain builds do look.
        add_compile_options(-Wno-maybe-uninitialized -Wno-conversion -Wno-format-truncation)
    endif()
    add_compile_options(-fsanitize=${NORN_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${NORN_SANITIZE})
endif()
if(NORN_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES Clang)
        message(FATAL_ERROR "NORN_FUZZ needs clang: configure with --preset fuzz or -DCMAKE_C_COMPILER=clang")
    endif()
    add_compile_options(-fsanitize=fuzzer-no-link)
    add_link_options(-fsanitize=fuzzer-no-link)
endif()

find_program(NORN_CCACHE ccache)
if(NORN_CCACHE AND NOT CMAKE_C_COMPILER_LAUNCHER)
    # Worktrees of one repository share results.
    set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1 ${NORN_CCACHE})
endif()

set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)
