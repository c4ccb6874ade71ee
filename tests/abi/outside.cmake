# A stranger's view: the headers are installed somewhere, and the example becomes a platform there, once with
# pkg-config and once with CMake; what comes out must pass its tapes.
#   cmake -DBUILD=... -DDOC=... -DCC=... -DPLUGTEST=... -DTAPES=... -P outside.cmake
set(work ${BUILD}/tests/abi/outside)
file(REMOVE_RECURSE ${work})
file(MAKE_DIRECTORY ${work}/pc ${work}/cm)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE rc OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT rc EQUAL 0)
    message(FATAL_ERROR "failed (${rc}): ${ARGN}\n${out}")
  endif()
  set(out "${out}" PARENT_SCOPE)
endfunction()

# DESTDIR is the packager's; it must not leak in from outside.
set(ENV{DESTDIR} "")
run(${CMAKE_COMMAND} --install ${BUILD} --component sdk --prefix ${work}/prefix)
file(COPY ${work}/prefix/${DOC}/platform/example.c DESTINATION ${work}/pc)
file(COPY ${work}/prefix/${DOC}/platform/example.c DESTINATION ${work}/cm)

set(ENV{PKG_CONFIG_PATH} ${work}/prefix/share/pkgconfig)
run(sh -c "${CC} -Wall -Wextra -Werror example.c -o example.so $(pkg-config --cflags --libs grantd-platform)"
  WORKING_DIRECTORY ${work}/pc)

file(WRITE ${work}/cm/CMakeLists.txt
  "cmake_minimum_required(VERSION 3.16)\nproject(example C)\nfind_package(GrantdPlatform REQUIRED)\n"
  "grantd_add_platform(example example.c)\n")
run(${CMAKE_COMMAND} -G Ninja -S ${work}/cm -B ${work}/cm/build -DCMAKE_C_COMPILER=${CC} -DCMAKE_PREFIX_PATH=${work}/prefix)
run(${CMAKE_COMMAND} --build ${work}/cm/build)

foreach(so ${work}/pc/example.so ${work}/cm/build/example.so)
  run(${PLUGTEST} ${so} ${TAPES})
  message(STATUS "${out}")
endforeach()
# The version header is usable by itself.
file(WRITE ${work}/v.c "#include <grantd/version.h>\n#include <grantd/platform.h>\n"
  "_Static_assert(GRANTD_VERSION_MAJOR >= 0 && sizeof GRANTD_VERSION_TEXT > 5, \"version\");\n")
run(${CC} -std=c11 -pedantic -Wall -Wextra -Werror -I${work}/prefix/include -c ${work}/v.c -o ${work}/v.o)
