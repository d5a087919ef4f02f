internal import ControlClient
internal import Domain
internal import Glibc

/// `roost model upload`
enum ModelUpload {
  static let command: Command = Command(
    "model upload", "keep a saved model in a project",
    purpose:
      "Uploads a model's file. The file tells its kind, and the model what goes in and out, where they can; TorchScript never does. Models are loaded by the server in a sandbox for that (ONNX is not loaded).",
    arguments: [Positional("FILE", "ONNX, pickle, booster, TorchScript, Keras or Python source")],
    flags: [
      Flag("name", .text, value: "NAME", "3 to 63 characters a-z, 0-9 and - (that of the file)"),
      Flag(
        "kind",
        .choice([
          "onnx", "sklearn", "torchscript", "xgboost", "lightgbm", "catboost", "keras-saved", "python",
        ]), "where the file does not tell"),
      Flag(
        "input", .text, value: "NAME:DATATYPE[SHAPE]", "what goes in, like 'x:FP32[-1,8]' (-1: any length)",
        repeatable: true),
      Flag("output", .text, value: "NAME:DATATYPE[SHAPE]", "what comes out", repeatable: true), projectFlag,
    ],
    examples: [
      "roost model upload iris.pkl --name iris",
      "roost model upload net.pt --input 'x:FP32[-1,3,224,224]' --output 'y:FP32[-1,1000]'",
    ],
    run: { context in
      let parsed = context.parsed
      let path = context.first
      let request = (
        inputs: try tensors("input", parsed), outputs: try tensors("output", parsed)
      )
      let client = try context.client()
      let project = parsed.text("project") ?? "default"
      let digest = try send(path, client, project)
      let model = try client.createModel(
        CreateModelRequest(
          name: parsed.text("name") ?? name(of: path), digest: digest, kind: parsed.text("kind"),
          inputs: request.inputs, outputs: request.outputs), project: project)
      context.note("model \(model.name) is kept")
      try context.show(model, names: [model.name]) { ModelShow.text(model, context) }
    })

  /// `my_model.v2.onnx` is `my-model-v2`.
  static func name(of path: String) -> String {
    let file = path.split(separator: "/").last ?? ""
    let stem = file.lastIndex(of: ".").map { file[..<$0] } ?? file[...]
    return String(stem.lowercased().map { $0.isASCII && ($0.isLetter || $0.isNumber) ? $0 : "-" })
  }

  private static func tensors(_ flag: String, _ parsed: ParsedArguments) throws(CommandFailure)
    -> [ModelTensor]?
  {
    let texts = parsed.texts(flag)
    guard !texts.isEmpty else { return nil }
    var found: [ModelTensor] = []
    for text in texts {
      guard let tensor = tensor(text) else {
        throw .usage("--\(flag): '\(text)' must be like x:FP32[-1,8]", command)
      }
      found.append(tensor)
    }
    return found
  }

  static func tensor(_ text: String) -> ModelTensor? {
    guard let colon = text.firstIndex(of: ":") else { return nil }
    let rest = text[text.index(after: colon)...]
    guard let bracket = rest.firstIndex(of: "["), rest.hasSuffix("]") else { return nil }
    let inner = rest[rest.index(after: bracket)...].dropLast()
    var shape: [Int] = []
    for part in inner.split(separator: ",") {
      guard let length = Int(part.filter { $0 != " " }) else { return nil }
      shape.append(length)
    }
    guard !shape.isEmpty, colon != text.startIndex else { return nil }
    return ModelTensor(name: String(text[..<colon]), datatype: String(rest[..<bracket]), shape: shape)
  }

  private static func send(
    _ path: String, _ client: ControlClient, _ project: String
  ) throws(CommandFailure) -> String {
    let file = open(path, O_RDONLY | O_CLOEXEC)
    guard file >= 0 else {
      throw CommandFailure(.failed, "\(path) can't be read: \(String(cString: strerror(errno)))")
    }
    defer { close(file) }
    do throws(ClientError) {
      return try client.upload(project: project) { count throws(ClientError) in
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
          let part = bytes.withUnsafeMutableBytes {
            read(file, $0.baseAddress.map { $0 + filled }, count - filled)
          }
          if part < 0, errno == EINTR { continue }
          guard part >= 0 else {
            throw ClientError(.malformed, "\(path) can't be read: \(String(cString: strerror(errno)))")
          }
          if part == 0 { break }
          filled += part
        }
        return Array(bytes[..<filled])
      }
    } catch { throw CommandFailure(error) }
  }
}
