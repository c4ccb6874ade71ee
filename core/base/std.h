/* base/std.h - the three descriptors that every program has. First thing of main. */
#ifndef GD_BASE_STD_H
#define GD_BASE_STD_H

/* Who was started with one of 0, 1 and 2 closed would get it for the first file that is opened, and write its
 * words into a database or a socket. What is closed becomes /dev/null. */
void gd_std_open(void);

#endif
