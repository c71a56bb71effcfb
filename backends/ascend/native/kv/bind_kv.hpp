// The KV kernels' ACL copies; bindings.hpp declares bind_kv() where this file is.
#pragma once
