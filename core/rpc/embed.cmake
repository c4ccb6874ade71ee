# cmake -DDIR=... -DOUT=... -P embed.cmake: all schema files as one C source. Bytes, not string literals: C11 promises
# only 4,095 characters of those.
file(GLOB files ${DIR}/*.json)
list(SORT files)
set(arrays "")
set(table "")
set(n 0)
foreach(file ${files})
  get_filename_component(name ${file} NAME)
  string(REGEX REPLACE "\\.json$" "" name ${name})
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${hex}")
  string(APPEND arrays "static const unsigned char file_${n}[] = {${bytes}};\n")
  string(APPEND table "    { \"${name}\", file_${n}, sizeof file_${n} },\n")
  math(EXPR n "${n} + 1")
endforeach()
file(WRITE ${OUT} "/* Made from core/rpc/schema by embed.cmake. */\n#include \"rpc/schema_int.h\"\n\n${arrays}\n"
  "const struct gd_schema_file gd_schema_files[] = {\n${table}};\nconst size_t gd_schema_nfiles = ${n};\n")
