// A device made of CPU memory, in PyTorch's slot for backends of other people (PrivateUse1).
//
// Its tensors hold real values, and an operation that is given tensors of two devices raises, as
// on CUDA. What needs no kernel of its own runs on the CPU, on copies.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/EmptyTensor.h>
#include <ATen/Functions.h>
#include <ATen/autocast_mode.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <ATen/native/CPUFallback.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_coalesced_native.h>
#include <ATen/ops/_indices_native.h>
#include <ATen/ops/_nnz_native.h>
#include <ATen/ops/_reshape_alias_native.h>
#include <ATen/ops/_sparse_coo_tensor_with_dims_and_tensors_native.h>
#include <ATen/ops/_values_native.h>
#include <ATen/ops/as_strided_native.h>
#include <ATen/ops/copy_native.h>
#include <ATen/ops/dense_dim_native.h>
#include <ATen/ops/empty_native.h>
#include <ATen/ops/indices_native.h>
#include <ATen/ops/is_coalesced_native.h>
#include <ATen/ops/resize_native.h>
#include <ATen/ops/set_native.h>
#include <ATen/ops/sparse_dim_native.h>
#include <ATen/ops/unfold_native.h>
#include <ATen/ops/values_native.h>
#include <ATen/ops/view_native.h>
#include <c10/core/CPUAllocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>
#include <torch/library.h>

namespace {

using at::Tensor;
using c10::SymIntArrayRef;
using torch::jit::Stack;

constexpr auto kStrict = c10::DeviceType::PrivateUse1;
const c10::Device kDevice(kStrict, 0);

// ---- Memory -------------------------------------------------------------------------------------

struct StrictAllocator final : c10::Allocator {
  c10::DataPtr allocate(size_t bytes) override {
    auto data = c10::GetCPUAllocator()->allocate(bytes);
    data.unsafe_set_device(kDevice);
    return data;
  }
  c10::DeleterFnPtr raw_deleter() const override {
    return c10::GetCPUAllocator()->raw_deleter();
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
};

StrictAllocator allocator;
REGISTER_ALLOCATOR(kStrict, &allocator);

// One device, which is always the current one, with one stream.
struct StrictGuard final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return kStrict; }
  c10::DeviceIndex deviceCount() const noexcept override { return 1; }
  c10::Device getDevice() const override { return kDevice; }
  c10::Device exchangeDevice(c10::Device) const override { return kDevice; }
  void setDevice(c10::Device) const override {}
  void uncheckedSetDevice(c10::Device) const noexcept override {}
  c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
  c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
  c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
  static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, kDevice); }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, StrictGuard);

// ---- Random numbers -----------------------------------------------------------------------------

// A generator of the CPU, which says that it is on this device.
struct StrictGenerator final : c10::GeneratorImpl {
  at::Generator cpu = at::detail::createCPUGenerator();

  StrictGenerator() : GeneratorImpl(kDevice, c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)) {}
  uint64_t seed() override { return cpu.seed(); }
  uint64_t current_seed() const override { return cpu.current_seed(); }
  uint64_t get_offset() const override { return cpu.get_offset(); }
  void set_current_seed(uint64_t seed) override { cpu.set_current_seed(seed); }
  void set_offset(uint64_t offset) override { cpu.set_offset(offset); }
  void set_state(const c10::TensorImpl& state) override {
    cpu.unsafeGetGeneratorImpl()->set_state(state);
  }
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override {
    return cpu.unsafeGetGeneratorImpl()->get_state();
  }
  StrictGenerator* clone_impl() const override {
    auto* copy = new StrictGenerator();
    copy->cpu = cpu.clone();
    return copy;
  }
};

const at::Generator& default_generator() {
  static const auto generator = at::make_generator<StrictGenerator>();
  return generator;
}

struct StrictHooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
  c10::DeviceIndex deviceCount() const override { return 1; }
  c10::DeviceIndex getCurrentDevice() const override { return 0; }
  at::Allocator* getPinnedMemoryAllocator() const override { return c10::GetCPUAllocator(); }
  const at::Generator& getDefaultGenerator(c10::DeviceIndex) const override {
    return default_generator();
  }
  at::Generator getNewGenerator(c10::DeviceIndex) const override {
    return at::make_generator<StrictGenerator>();
  }
};

const bool has_hooks = [] {
  at::RegisterPrivateUse1HooksInterface(new StrictHooks());
  return true;
}();

// ---- Making and copying tensors -----------------------------------------------------------------

Tensor empty(
    SymIntArrayRef size,
    std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>,
    std::optional<at::Device>,
    std::optional<bool>,
    std::optional<at::MemoryFormat> format) {
  const c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_generic_symint(
      size, &allocator, keys, c10::dtype_or_default(dtype), format);
}

Tensor empty_strided(
    SymIntArrayRef size,
    SymIntArrayRef stride,
    std::optional<at::ScalarType> dtype,
    std::optional<at::Layout>,
    std::optional<at::Device>,
    std::optional<bool>) {
  const c10::DispatchKeySet keys(c10::DispatchKey::PrivateUse1);
  return at::detail::empty_strided_symint_generic(
      size, stride, &allocator, keys, c10::dtype_or_default(dtype));
}

// The same memory as a tensor of the CPU.
Tensor as_cpu(const Tensor& tensor) {
  if (tensor.is_cpu()) return tensor;
  TORCH_CHECK(tensor.device() == kDevice, "expected a tensor on cpu or ", kDevice, ", got one on ",
              tensor.device());
  auto alias = at::from_blob(
      tensor.mutable_data_ptr(), tensor.sizes(), tensor.strides(),
      /*deleter=*/[tensor](void*) {}, tensor.options().device(at::kCPU));
  alias._set_conj(tensor.is_conj());
  alias._set_neg(tensor.is_neg());
  return alias;
}

Tensor copy_from(const Tensor& source, const Tensor& target, bool /*non_blocking*/) {
  as_cpu(target).copy_(as_cpu(source));
  return target;
}

Tensor copy_from_and_resize(const Tensor& source, const Tensor& target) {
  at::native::resize_(target, source.sizes());
  return copy_from(source, target, false);
}

at::Scalar local_scalar_dense(const Tensor& tensor) {
  return as_cpu(tensor).item();
}

const Tensor& resize(
    const Tensor& tensor, SymIntArrayRef size, std::optional<at::MemoryFormat> format) {
  return at::native::resize_(tensor, C10_AS_INTARRAYREF_SLOW(size), format);
}

// ---- Everything else ----------------------------------------------------------------------------

bool is_written(const c10::Argument& argument) {
  return argument.alias_info() != nullptr && argument.alias_info()->isWrite();
}

// CUDA takes a scalar from the CPU where it computes element by element, and as what to fill with.
bool may_be_cpu_scalar(const c10::OperatorHandle& op, const c10::Argument& argument) {
  const bool is_fill = argument.name() == "value" || argument.name() == "values";
  return !is_written(argument) && (is_fill || op.hasTag(at::Tag::pointwise));
}

void require_device(const c10::OperatorHandle& op, const c10::Argument& argument, const Tensor& t) {
  if (!t.defined() || t.device() == kDevice) return;
  if (t.is_cpu() && t.dim() == 0 && may_be_cpu_scalar(op, argument)) return;
  TORCH_CHECK(
      false, "Expected all tensors to be on the same device, but got ", argument.name(), " of ",
      op.operator_name(), " on ", t.device(), ", different from other tensors on ", kDevice);
}

void require_device(
    const c10::OperatorHandle& op, const c10::Argument& argument, const c10::IValue& value) {
  if (value.isTensor()) require_device(op, argument, value.toTensor());
  if (value.isTensorList())
    for (const Tensor& tensor : value.toTensorVector()) require_device(op, argument, tensor);
  // A list with gaps holds the indices of x[...], which CUDA takes from the CPU beside x.
}

bool is_generator(const c10::Argument& argument) {
  const auto optional = argument.type()->cast<c10::OptionalType>();
  return optional && optional->getElementType()->kind() == c10::TypeKind::GeneratorType;
}

// The kernels of the CPU take generators of the CPU only.
at::Generator as_cpu_generator(const c10::IValue& value) {
  const auto generator = value.isGenerator() ? value.toGenerator() : default_generator();
  TORCH_CHECK(
      generator.device() == kDevice, "Expected a generator of the device ", kDevice,
      ", but got one of ", generator.device());
  return static_cast<StrictGenerator*>(generator.unsafeGetGeneratorImpl())->cpu;
}

// cpu_fallback() alone takes tensors of any device, and puts results where its first tensor was:
// on the CPU, if that was a scalar.
template <c10::DispatchKey cpu_key>
void fall_back(const c10::OperatorHandle& op, Stack* stack) {
  const auto& arguments = op.schema().arguments();
  const auto first = stack->size() - arguments.size();
  for (size_t i = 0; i < arguments.size(); ++i) {
    auto& value = (*stack)[first + i];
    require_device(op, arguments[i], value);
    if (is_generator(arguments[i])) value = as_cpu_generator(value);
  }
  at::native::cpu_fallback(op, stack, /*error_on_views=*/true, cpu_key);
  for (size_t i = stack->size() - op.schema().returns().size(); i < stack->size(); ++i) {
    auto& value = (*stack)[i];
    if (value.isTensor() && value.toTensor().defined()) value = value.toTensor().to(kDevice);
  }
}

template <c10::DispatchKey cpu_key>
auto boxed_fallback() {
  return torch::CppFunction::makeFromBoxedFunction<&fall_back<cpu_key>>();
}

}  // namespace

// ---- Registration -------------------------------------------------------------------------------

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(boxed_fallback<c10::DispatchKey::CPU>());
}

// Making, copying and viewing cannot fall back: the first two would recurse, and a view shares
// memory.
TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("empty.memory_format", &empty);
  m.impl("empty_strided", &empty_strided);
  m.impl("_copy_from", &copy_from);
  m.impl("_copy_from_and_resize", &copy_from_and_resize);
  m.impl("_local_scalar_dense", &local_scalar_dense);
  m.impl("resize_", &resize);
  m.impl("set_.source_Tensor", &at::native::set_tensor_);
  m.impl("set_.source_Storage", static_cast<Tensor& (*)(Tensor&, at::Storage)>(&at::native::set_));
  m.impl("set_.source_Storage_storage_offset", &at::native::set_storage_cpu_);
  m.impl("as_strided", &at::native::as_strided_tensorimpl);
  m.impl("view", &at::native::view);
  m.impl("_reshape_alias", &at::native::_reshape_alias);
  m.impl("unfold", &at::native::unfold);
}

TORCH_LIBRARY_IMPL(_, SparsePrivateUse1, m) {
  m.fallback(boxed_fallback<c10::DispatchKey::SparseCPU>());
}

// The parts of a sparse tensor: with these it can be copied to the CPU and back.
TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, m) {
  m.impl("empty.memory_format", &at::native::empty_sparse_symint);
  m.impl("copy_", &at::native::copy_sparse_wrapper_);
  m.impl(
      "_sparse_coo_tensor_with_dims_and_tensors",
      &at::native::new_with_dims_and_tensor_sparse_symint);
  m.impl("indices", &at::native::indices_sparse);
  m.impl("values", &at::native::values_sparse);
  m.impl("_indices", &at::native::_indices_sparse);
  m.impl("_values", &at::native::_values_sparse);
  m.impl("_nnz", &at::native::_nnz_sparse);
  m.impl("sparse_dim", &at::native::sparse_dim_sparse);
  m.impl("dense_dim", &at::native::dense_dim_sparse);
  m.impl("is_coalesced", &at::native::is_coalesced_sparse);
  m.impl("_coalesced_", &at::native::_coalesced_sparse_);
}

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFallthrough());
}

// PyTorch's own lists of what computes in which precision, as on CUDA.
#define IN_LOWER_PRECISION(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, lower_precision_fp)
#define IN_FLOAT32(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32)
#define IN_FLOAT32_BY_DTYPE(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, fp32_set_opt_dtype)
#define IN_WIDEST(...) KERNEL_PRIVATEUSEONE(__VA_ARGS__, promote)

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, m) {
  AT_FORALL_LOWER_PRECISION_FP(IN_LOWER_PRECISION)
  AT_FORALL_FP32(IN_FLOAT32)
  AT_FORALL_FP32_SET_OPT_DTYPE(IN_FLOAT32_BY_DTYPE)
  AT_FORALL_PROMOTE(IN_WIDEST)
}

TORCH_LIBRARY(strict, m) {
  m.def("default_generator", []() -> at::Generator { return default_generator(); });
}
