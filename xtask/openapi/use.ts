// Client code that fails to compile if a generated type is `any` or empty.
import type { paths } from "./openapi-typescript";
import { getGame, listGames, type ListGamesParams } from "./orval/client";
import { addToCart, type GetGameResponses } from "./hey-api";

type Query = NonNullable<paths["/api/games"]["get"]["parameters"]["query"]>;
const query: Query = { page: 1, sort: "price-asc", pricePreset: "10-25", inStockOnly: "false", genres: ["rpg"] };
// @ts-expect-error Unknown sort order.
const wrongOrder: Query = { sort: "cheapest" };
// @ts-expect-error Only true or false.
const wrongFlag: Query = { multiplayer: "yes" };

const asked: ListGamesParams = { page: 2, sort: "newest" };

export async function titles(): Promise<string[]> {
  const answer = await listGames(asked);
  if (answer.status !== 200) {
    // The common fields of all errors are typed.
    throw new Error(`${answer.data.error.code}: ${answer.data.error.message}`);
  }
  return answer.data.data.data.map((game) => game.title);
}

export async function price(id: string): Promise<number | null> {
  const answer = await getGame(id);
  return answer.status === 200 ? answer.data.data.price : null;
}

export const found = (answer: GetGameResponses[200]): string => answer.data.slug;

export const put = (gameId: string) => addToCart({ body: { gameId, quantity: 2 } });

export const unused = [query, wrongOrder, wrongFlag];
