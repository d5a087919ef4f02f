internal import ControlClient
internal import Domain
internal import Glibc

/// `roost model download`
enum ModelDownload {
  static let command: Command = Command(
    "model download", "get the file back",
    purpose: "Writes the file of a saved model, byte for byte as it was uploaded.",
    arguments: [Positional("MODEL", "id or name"), Positional("FILE", "where to; must not exist")],
    flags: [projectFlag], examples: ["roost model download iris iris.pkl"],
    run: { context in
      let (name, path) = (context.first, context.positionals[1])
      let client = try context.client()
      let project = context.parsed.text("project")
      let model = try client.model(name, project: project)
      let file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
      guard file >= 0 else {
        throw CommandFailure(.failed, "\(path) can't be made: \(String(cString: strerror(errno)))")
      }
      defer { close(file) }
      var offset: Int64 = 0
      while offset < model.sizeBytes {
        let part = try client.content(ofModel: model.id.text, project: project, from: offset)
        guard !part.isEmpty, write(file, part, part.count) == part.count else {
          unlink(path)
          throw CommandFailure(.failed, "\(path) could not be written whole, it was removed again")
        }
        offset += Int64(part.count)
      }
      context.note("\(path) has \(Quantity.bytes(offset))")
    })
}
