// Answers every request with a line of text, and logs it.
const http = require("node:http");

const server = http.createServer((request, response) => {
  console.log(request.method, request.url);
  response.setHeader("Content-Type", "text/plain; charset=utf-8");
  response.end(`Hello from Node.js ${process.version}, ${process.env.MINI_RELEASE ?? "not released"}\n`);
});

process.on("SIGTERM", () => {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
});
server.listen(process.env.PORT);
