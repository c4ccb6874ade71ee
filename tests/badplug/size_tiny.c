/* Its symbol has no room for even the first two numbers. */
__attribute__((visibility("default"))) extern const unsigned short grantd_platform_v1;
const unsigned short grantd_platform_v1 = 0;
