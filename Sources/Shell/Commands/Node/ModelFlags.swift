internal import Domain

/// The flags of model nodes, for `create`, `validate` and `update`.
enum ModelFlags {
  static let flags = [
    Flag(
      "model", .text, value: "[NAME[:VERSION]=]MODEL",
      "a model node: id or name of a saved model, the name under which it is called if another, and which version of it this is (1)",
      repeatable: true),
    Flag(
      "max-batch", .integer, value: "ROWS",
      "most rows in one call of a model; 0 puts no requests together (64)"),
    Flag("queue-delay", .duration, value: "TIME", "how long a request may wait for others (0s)"),
    Flag(
      "model-processes", .integer, value: "N",
      "processes of each model in one instance, which share its CPUs (1)"),
    Flag("load-timeout", .duration, value: "TIME", "longest time to load one model (120s)"),
    Flag(
      "triton-image", .text, value: "IMAGE",
      "instances are containers of this image, which has tritonserver; none: processes of the server's own Triton"
    ),
    Flag(
      "native-backends", .choice(["on", "off"]),
      "in an image: Triton's own backends run ONNX and TorchScript models (on)"),
  ]

  /// The command is about a model node, and so is a login for a registry.
  static func areMeant(_ parsed: ParsedArguments) -> Bool {
    !parsed.texts("model").isEmpty || parsed.text("triton-image") != nil
  }

  /// nil when there is no `--model`; the other flags are refused then.
  static func models(_ parsed: ParsedArguments, _ command: Command, isUpdate: Bool = false)
    throws(CommandFailure) -> RequestedModels?
  {
    let names = parsed.texts("model")
    let (batch, delay, load) = (
      parsed.integer("max-batch"), parsed.duration("queue-delay"), parsed.duration("load-timeout")
    )
    let processes = parsed.integer("model-processes")
    let (image, native) = (parsed.text("triton-image"), parsed.text("native-backends"))
    let isPlain =
      batch == nil && delay == nil && load == nil && processes == nil && image == nil && native == nil
    guard !names.isEmpty || isUpdate && !isPlain else {
      guard isPlain else {
        throw .usage("give --model MODEL too: the other flags of model nodes say how it is served", command)
      }
      return nil
    }
    return RequestedModels(
      names: names, maxBatchSize: batch,
      queueDelayMicroseconds: delay.map { Int($0.fractionalSeconds * 1_000_000) },
      loadSeconds: load.map(\.fractionalSeconds), processes: processes, image: image,
      nativeBackends: native.map { $0 == "on" },
      registryUser: areMeant(parsed) ? parsed.text("registry-user") : nil,
      passwordSecret: areMeant(parsed) ? parsed.text("registry-password-secret") : nil)
  }
}
