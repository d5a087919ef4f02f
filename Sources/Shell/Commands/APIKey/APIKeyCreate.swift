internal import ControlClient
internal import Domain

/// `roost api-key create`
enum APIKeyCreate {
  static let command: Command = Command(
    "api-key create", "an API key for calls",
    purpose: "Makes an API key of a service account and prints it, alone on its line. It is shown only now.",
    flags: [
      KeyCreate.accountFlag,
      Flag("scope", .choice(["call", "all"]), "calls of nodes only, or all that the account may do (call)"),
      Flag("ttl", .duration, "how long it is good (until it is deleted)"),
      Flag("description", .text, "what it is for"),
    ],
    examples: [
      "roost api-key create --service-account caller --ttl 720h",
      "curl -H \"Authorization: Api-Key $KEY\" -d @request.json $ROOST_URL/datasphere/v1/nodes/NODE_ID:execute",
    ],
    run: { context in
      let parsed = context.parsed
      let key = try context.client().createAPIKey(
        of: parsed.text("service-account") ?? "",
        CreateAPIKeyRequest(
          description: parsed.text("description"), scope: parsed.text("scope"),
          ttlSeconds: parsed.duration("ttl").map(\.wholeSeconds)))
      let text = key.secret ?? ""
      try context.show(key, names: [text]) { text + "\n" }
    })
}
