# gd_tape_test(PLATFORM [LABELS ...]): grantd-plugtest over the tapes of the calling folder, with all sweeps.
function(gd_tape_test platform)
  cmake_parse_arguments(R "" "TIMEOUT" "OPTIONS" ${ARGN})
  file(GLOB tapes CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.json)
  if(NOT tapes)
    message(FATAL_ERROR "there are no tapes of ${platform} in ${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
  add_test(NAME tapes.${platform}
    COMMAND grantd-plugtest ${R_OPTIONS} $<TARGET_FILE:${platform}_platform> ${tapes})
  if(NOT R_TIMEOUT)
    set(R_TIMEOUT 300)
  endif()
  set_tests_properties(tapes.${platform} PROPERTIES TIMEOUT ${R_TIMEOUT})
endfunction()
