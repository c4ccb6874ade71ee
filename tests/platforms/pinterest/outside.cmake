# Copies the folder of the platform away, builds it against installed headers, runs its tapes.
#   cmake -DBUILD=... -DSOURCE=... -DCC=... -DPLUGTEST=... -DTAPES=... -P outside.cmake
set(work ${BUILD}/tests/platforms/pinterest/outside)
file(REMOVE_RECURSE ${work})
file(MAKE_DIRECTORY ${work})

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE rc OUTPUT_VARIABLE out ERROR_VARIABLE out)
  if(NOT rc EQUAL 0)
    message(FATAL_ERROR "failed (${rc}): ${ARGN}\n${out}")
  endif()
endfunction()

set(ENV{DESTDIR} "")
run(${CMAKE_COMMAND} --install ${BUILD} --component sdk --prefix ${work}/prefix)
file(COPY ${SOURCE} DESTINATION ${work})
run(${CMAKE_COMMAND} -G Ninja -S ${work}/pinterest -B ${work}/build -DCMAKE_C_COMPILER=${CC}
    -DCMAKE_PREFIX_PATH=${work}/prefix "-DCMAKE_C_FLAGS=-Wall -Wextra -Wshadow -Wconversion -Werror")
run(${CMAKE_COMMAND} --build ${work}/build)
run(${PLUGTEST} --no-sweep ${work}/build/pinterest.so ${TAPES})
