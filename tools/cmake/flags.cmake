# Compiler and linker flags of every target (design: hardened, warning-free, nothing exported by accident).
add_library(gd_flags INTERFACE)
target_compile_features(gd_flags INTERFACE c_std_11)
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_C_VISIBILITY_PRESET hidden)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release)
endif()
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g")

target_compile_definitions(gd_flags INTERFACE _GNU_SOURCE GRANTD_VERSION="${PROJECT_VERSION}")
target_compile_options(gd_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wformat=2 -Wformat-security -Wvla
  -Wcast-qual -Wstrict-prototypes -Wmissing-prototypes -Wdouble-promotion
  -Wimplicit-fallthrough -Wundef -Wno-missing-field-initializers
  -fno-strict-overflow -fno-delete-null-pointer-checks -fno-common
  -fstack-protector-strong -fstack-clash-protection -fcf-protection=full)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  target_compile_options(gd_flags INTERFACE -ftrivial-auto-var-init=zero -Wtrampolines -Warith-conversion
    -Wbidi-chars=any -Wno-arith-conversion)
  if(CMAKE_BUILD_TYPE STREQUAL "Release")
    target_compile_options(gd_flags INTERFACE -fzero-call-used-regs=used-gpr -Wnull-dereference)
  endif()
elseif(CMAKE_C_COMPILER_ID MATCHES "Clang")
  target_compile_options(gd_flags INTERFACE -ftrivial-auto-var-init=pattern -Wno-gnu-zero-variadic-macro-arguments)
endif()
if(GRANTD_WERROR)
  target_compile_options(gd_flags INTERFACE -Werror)
endif()
if(GRANTD_FAULTS)
  target_compile_definitions(gd_flags INTERFACE GRANTD_FAULTS=1)
endif()

if(GRANTD_SANITIZE)
  target_compile_options(gd_flags INTERFACE -fsanitize=${GRANTD_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer -U_FORTIFY_SOURCE)
  target_link_options(gd_flags INTERFACE -fsanitize=${GRANTD_SANITIZE})
else()
  target_compile_options(gd_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3)
endif()
target_link_options(gd_flags INTERFACE -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -Wl,--as-needed)
