# Turns the files of FOLDER into one C file OUT with gd_portal_pages_file(): cmake -DFOLDER= -DOUT= -P embed.cmake
file(GLOB names RELATIVE ${FOLDER} ${FOLDER}/*)
list(SORT names)
set(text "/* Made by core/portal/embed.cmake. */\n#include \"portal/pages.h\"\n\n#include <string.h>\n\n")
set(table "")
set(i 0)
foreach(name ${names})
  file(READ ${FOLDER}/${name} hex HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "'\\\\x\\1'," bytes "${hex}")
  string(APPEND text "static const char file_${i}[] = { ${bytes}'\\0' };\n")
  string(APPEND table "    { \"${name}\", file_${i} },\n")
  math(EXPR i "${i} + 1")
endforeach()
string(APPEND text "\nstatic const struct {\n    const char *name, *text;\n} files[] = {\n${table}};\n\n"
  "const char *gd_portal_pages_file(const char *name)\n{\n"
  "    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)\n"
  "        if (strcmp(files[i].name, name) == 0)\n            return files[i].text;\n"
  "    return NULL;\n}\n")
file(WRITE ${OUT} "${text}")
