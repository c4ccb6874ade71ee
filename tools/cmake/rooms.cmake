# gd_room(NAME SOURCES a.c ... ROOMS other ... LIBS PkgConfig::X ...)
# One folder core/NAME becomes the static library gd_NAME; includes are written "room/file.h".
function(gd_room name)
  cmake_parse_arguments(R "" "" "SOURCES;ROOMS;LIBS" ${ARGN})
  add_library(gd_${name} STATIC ${R_SOURCES})
  target_include_directories(gd_${name} PUBLIC ${PROJECT_SOURCE_DIR}/core ${PROJECT_SOURCE_DIR}/include)
  list(TRANSFORM R_ROOMS PREPEND gd_)
  target_link_libraries(gd_${name} PUBLIC ${R_ROOMS} ${R_LIBS} PRIVATE gd_flags)
endfunction()

# gd_program(NAME SOURCES ... ROOMS ... LIBS ...): an executable, hardened and exporting nothing.
function(gd_program name)
  cmake_parse_arguments(R "" "" "SOURCES;ROOMS;LIBS" ${ARGN})
  add_executable(${name} ${R_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR}/core ${PROJECT_SOURCE_DIR}/include)
  list(TRANSFORM R_ROOMS PREPEND gd_)
  target_link_libraries(${name} PRIVATE ${R_ROOMS} ${R_LIBS} gd_flags)
  if(NOT GRANTD_SANITIZE)
    target_link_options(${name} PRIVATE -pie)
  endif()
endfunction()

# gd_platform(NAME SOURCES ...): NAME.so, one exported symbol, no undefined ones, no libraries of its own.
function(gd_platform name)
  cmake_parse_arguments(R "" "OUTPUT" "SOURCES" ${ARGN})
  add_library(${name}_platform MODULE ${R_SOURCES})
  set_target_properties(${name}_platform PROPERTIES PREFIX "" OUTPUT_NAME ${name}
    LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/platforms)
  target_include_directories(${name}_platform PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(${name}_platform PRIVATE gd_flags)
  if(NOT GRANTD_SANITIZE) # a sanitizer's functions are in the program that loads it
    target_link_options(${name}_platform PRIVATE -Wl,-z,defs)
  endif()
endfunction()

# gd_unit_test(NAME SOURCES ... ROOMS ...): a cmocka program, one ctest case.
function(gd_unit_test name)
  cmake_parse_arguments(R "" "" "SOURCES;ROOMS;LIBS;ARGS" ${ARGN})
  gd_program(unit_${name} SOURCES ${R_SOURCES} ROOMS ${R_ROOMS} LIBS ${R_LIBS} PkgConfig::CMOCKA)
  target_compile_options(unit_${name} PRIVATE -Wno-missing-prototypes)
  add_test(NAME unit.${name} COMMAND unit_${name} ${R_ARGS})
endfunction()
