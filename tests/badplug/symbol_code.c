/* The symbol is there, but it is a function. */
__attribute__((visibility("default"))) int grantd_platform_v1(void);
int grantd_platform_v1(void)
{
    return 0;
}
