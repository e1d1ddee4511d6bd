/*
** einsum.h - equations of einsum, as einsum.c reads them and einsum_plain.c computes them.
*/
#ifndef GAN_EINSUM_H
#define GAN_EINSUM_H

#include "../core/op.h"

#define OPERANDS GAN_MAXLIST
#define ANYWHERE 128 /* letters are indices of tables */
#define EQUATION ((OPERANDS + 2) * (GAN_MAXDIM + 2)) /* characters of an equation, at most */

/* Letters of one operand or of the result, in the order of its dimensions, and a 0. */
typedef struct {
  char s[GAN_MAXDIM + 1];
  int n;
} letters;

typedef struct {
  int n;
  letters in[OPERANDS], out;
} equation;

/* Writes "ab,bc->ac" to a buffer of EQUATION characters. */
void gan_write_equation(const equation *e, char *to);

extern gan_op gan_op_einsum_plain;

#endif
