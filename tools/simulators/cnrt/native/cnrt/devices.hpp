// What is made up about a device of the simulator.
#pragma once

namespace cnrt {

// Its number on the PCI bus: one above its place in the machine.
unsigned bus_of(int device);

}  // namespace cnrt
