/* Exports something, but not the table. */
__attribute__((visibility("default"))) extern const int something;
const int something = 1;
