#include "store/host/host_tier.h"
#include "testing/tier_cases.h"

int main(void) {
    return norn_tier_cases_run("the host tier", norn_host_tier_create);
}
