# Warnings are errors, and the hardening flags of the OpenSSF list that gcc 12 and clang 14 both take.
add_library(reveille_flags INTERFACE)
target_compile_definitions(reveille_flags INTERFACE _GNU_SOURCE REVEILLE_VERSION="${PROJECT_VERSION}")
target_compile_options(reveille_flags INTERFACE
    -Wall -Wextra -Wshadow -Wconversion -Wmissing-prototypes -Wstrict-prototypes -Wformat=2
    -Wimplicit-fallthrough -Wswitch-enum -Wundef -Wvla -Werror
    -fno-strict-aliasing -fno-strict-overflow -fno-delete-null-pointer-checks
    -fstack-protector-strong -fstack-clash-protection -fcf-protection=full)
target_link_options(reveille_flags INTERFACE
    -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed)
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_DEBUG "-O1 -g -fno-omit-frame-pointer")
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
    target_compile_options(reveille_flags INTERFACE -ftrivial-auto-var-init=zero)
endif()
if(REVEILLE_SANITIZE)
    target_compile_options(reveille_flags INTERFACE
        -fsanitize=address,undefined -fno-sanitize-recover=undefined)
    target_link_options(reveille_flags INTERFACE -fsanitize=address,undefined)
else()
    target_compile_options(reveille_flags INTERFACE
        -U_FORTIFY_SOURCE $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
endif()
if(REVEILLE_FUZZ)
    target_compile_options(reveille_flags INTERFACE -fsanitize=fuzzer-no-link)
    target_link_options(reveille_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
set(CMAKE_EXE_LINKER_FLAGS "${CMAKE_EXE_LINKER_FLAGS} -pie")
