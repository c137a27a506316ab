#!/bin/sh
# What is not finished is not on main, and what is not used is not in comments.
. t/lint/check.sh
words="TO""DO|FIX""ME|XX""X"
sources=$(find lib imap proxyd backendd mupdated t man GNUmakefile README.md \
    -type f -not -path '*/corpus/*' -not -name '*.pyc' -not -name words.t)
check "nothing is left to do" \
    "$(grep -nwE "$words" $sources)"
check "no C is commented out" "$(grep -nE \
    '^[[:space:]]*(//|#if 0)' $(echo "$sources" | grep '\.[ch]$'))"
check "no function of C that cannot be used safely" "$(grep -nE \
    '\<(strcpy|strcat|sprintf|strncpy|strtok|atoi|strtol|sscanf|alloca)\(' \
    $(echo "$sources" | grep -E '^(lib|imap|proxyd|backendd|mupdated)/.*\.[ch]$'))"
echo "1..$n"
