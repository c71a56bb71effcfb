// What is shared with other processes has to be known when memory is freed.
#pragma once

namespace cnrt {

// Ends the sharing of an allocation, if it is shared: handles of it mean nothing from now on.
void withdraw(void* pointer);

}  // namespace cnrt
