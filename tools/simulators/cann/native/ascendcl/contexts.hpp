// Contexts: what a thread has current. A device has a primary one, and as many more as are made.
#pragma once

namespace ascendcl {

void* current_context();            // throws no_context
void set_current_context(void* context);
void* create_context(int device);
void destroy_context(void* context);
void* primary_context(int device);
void forget_current_context();

}  // namespace ascendcl
