# gd_tape_test(PLATFORM [LABELS ...]): grantd-plugtest over the tapes of the calling folder, with all sweeps.
function(gd_tape_test platform)
  cmake_parse_arguments(R "" "" "OPTIONS" ${ARGN})
  file(GLOB tapes CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.json)
  if(NOT tapes)
    message(FATAL_ERROR "there are no tapes of ${platform} in ${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
  add_test(NAME tapes.${platform}
    COMMAND grantd-plugtest ${R_OPTIONS} $<TARGET_FILE:${platform}_platform> ${tapes})
endfunction()

# gd_sandboxed_test(PLATFORM): test_through_daemon.py of the calling folder, on SQLite and, in the deep tier, on PostgreSQL.
function(gd_sandboxed_test platform)
  find_package(Python3 3.11 REQUIRED COMPONENTS Interpreter)
  foreach(end "" _pg)
    add_test(NAME sandboxed.${platform}${end} COMMAND ${Python3_EXECUTABLE} -B -m unittest -v test_through_daemon
             WORKING_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR})
  endforeach()
  set_tests_properties(sandboxed.${platform} PROPERTIES ENVIRONMENT GRANTD_BUILD=${PROJECT_BINARY_DIR})
  set_tests_properties(sandboxed.${platform}_pg PROPERTIES LABELS deep
                       ENVIRONMENT "GRANTD_BUILD=${PROJECT_BINARY_DIR};GRANTD_TEST_STORE=postgresql")
endfunction()
