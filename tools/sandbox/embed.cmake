# Turns world/*.json of FOLDER into one C file OUT with world_text(): cmake -DFOLDER= -DOUT= -P embed.cmake
file(GLOB names RELATIVE ${FOLDER} ${FOLDER}/*.json)
list(SORT names)
set(text "/* Made by tools/sandbox/embed.cmake. */\n#include \"sandbox_int.h\"\n\n#include <string.h>\n\n")
set(table "")
set(i 0)
foreach(name ${names})
  file(READ ${FOLDER}/${name} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
  string(REGEX REPLACE "[.]json$" "" platform "${name}")
  string(APPEND text "static const char file_${i}[] = { ${bytes}'\\0' };\n")
  string(APPEND table "    { \"${platform}\", file_${i} },\n")
  math(EXPR i "${i} + 1")
endforeach()
string(APPEND text "\nstatic const struct {\n    const char *name, *text;\n} files[] = {\n${table}};\n\n"
  "const char *world_text(const char *name)\n{\n"
  "    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)\n"
  "        if (strcmp(files[i].name, name) == 0)\n            return files[i].text;\n"
  "    return NULL;\n}\n")
file(WRITE ${OUT} "${text}")
