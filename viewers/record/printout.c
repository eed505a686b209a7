/* SPDX-License-Identifier: Apache-2.0 */
#include "viewers/record/printout.h"

#include <errno.h>
#include <stdlib.h>

int printout_begin(struct printout *p, struct error *error)
{
    *p = (struct printout){.out = NULL};
    p->out = open_memstream(&p->text, &p->size);
    return p->out != NULL ? 0 : error_set(error, ENOMEM, "out of memory");
}

int printout_end(struct printout *p, int code, struct error *error)
{
    if (p->out == NULL)
        return code;
    if (fclose(p->out) != 0 && code == 0)
        code = error_set(error, ENOMEM, "out of memory");
    if (p->text != NULL)
        fwrite(p->text, 1, p->size, stdout);
    free(p->text);
    *p = (struct printout){.out = NULL};
    return code;
}
